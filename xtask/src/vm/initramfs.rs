//! The file system that a kernel starts with: cpio archives in the form that it calls `newc`, one
//! behind the other.

/// The mode of a folder, of a program, and of a device by characters.
const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;

/// An archive in the making. Folders come before what is in them.
#[derive(Default)]
pub(super) struct Initramfs {
    bytes: Vec<u8>,
    entries: u32,
}

impl Initramfs {
    pub(super) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER, (0, 0), &[]);
    }

    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, PROGRAM, (0, 0), content);
    }

    /// What the kernel opens as process 1's standard input and output.
    pub(super) fn console(&mut self, path: &str) {
        self.entry(path, DEVICE, (5, 1), &[]);
    }

    /// The archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, (major, minor): (u32, u32), content: &[u8]) {
        self.entries += 1;
        let links = if mode == FOLDER { 2 } else { 1 };
        let size = u32::try_from(content.len()).expect("files are far smaller than 4 GiB");
        let name = path.len() as u32 + 1;
        // Inode, mode, user, group, links, time, size, device, device it stands for, length of the
        // name, checksum.
        let header = [self.entries, mode, 0, 0, links, 0, size, 0, 0, major, minor, name, 0];
        self.bytes.extend(b"070701");
        self.bytes.extend(header.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        self.bytes.extend(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend(content);
        self.align();
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Initramfs;

    #[test]
    fn entries_are_aligned_and_say_how_long_they_are() {
        let mut archive = Initramfs::default();
        archive.folder("bin");
        archive.program("bin/true", b"12345");
        let bytes = archive.finish();
        let starts: Vec<_> =
            (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"070701")).collect();
        assert_eq!(starts.len(), 3);
        assert!(starts.iter().all(|start| start % 4 == 0));
        let field = |entry: usize, n: usize| {
            let text = str::from_utf8(&bytes[starts[entry] + 6 + 8 * n..][..8]).unwrap();
            u32::from_str_radix(text, 16).unwrap()
        };
        assert_eq!((field(1, 6), field(1, 11)), (5, 9));
        assert_eq!(&bytes[starts[1] + 110..][..8], b"bin/true");
        assert_eq!(bytes[starts[1] + 120..][..5], *b"12345");
    }
}
