//! Reading files of `/proc`, over and over.

use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Error;

/// A file that is kept open, as opening one costs as much as reading it. The kernel writes it anew
/// for every read from its beginning.
#[derive(Debug)]
pub(crate) struct ProcFile {
    path: PathBuf,
    file: Option<fs::File>,
    buffer: Vec<u8>,
}

impl ProcFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, file: None, buffer: Vec::new() }
    }

    /// Its present content.
    pub(crate) fn read(&mut self) -> Result<&str, Error> {
        let length = match self.fill() {
            Ok(length) => length,
            Err(source) => {
                self.file = None;
                return Err(Error::Read { path: self.path.clone(), source });
            }
        };
        str::from_utf8(&self.buffer[..length]).map_err(|_| self.lacks("text in it"))
    }

    /// The error of a file without something that it ought to have.
    pub(super) fn lacks(&self, what: &'static str) -> Error {
        Error::Format { path: self.path.clone(), what }
    }

    fn fill(&mut self) -> std::io::Result<usize> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(fs::File::open(&self.path)?),
        };
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                self.buffer.resize(4096.max(2 * length), 0);
            }
            match file.read_at(&mut self.buffer[length..], length as u64)? {
                0 => return Ok(length),
                read => length += read,
            }
        }
    }
}

/// Makes sure that a file of our own `/proc`, the only one that sysinfo reads, tells of the host:
/// LXC hides some of them behind its own, which tell of the container.
pub(super) fn not_overlaid(path: &'static str) -> Result<(), Error> {
    let device = |path: &Path| {
        let metadata = fs::metadata(path);
        metadata.map(|it| it.dev()).map_err(|source| Error::Read { path: path.into(), source })
    };
    match device(Path::new(path))? == device(Path::new("/proc"))? {
        true => Ok(()),
        false => Err(Error::Overlaid { path }),
    }
}

/// The numbers in `text`, separated by blanks; what is not a number ends them.
pub(super) fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split_ascii_whitespace().map_while(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;

    #[test]
    fn a_file_is_read_whole_and_anew() {
        let scratch = Scratch::new("file");
        let mut file = ProcFile::new(scratch.path("file"));
        for length in [0, 1, 4095, 4096, 4097, 100_000, 3] {
            let content = "x".repeat(length);
            scratch.write("file", &content);
            assert_eq!(file.read().unwrap(), content);
        }
    }

    #[test]
    fn a_file_that_comes_back_is_read_again() {
        let scratch = Scratch::new("file-back");
        let mut file = ProcFile::new(scratch.path("file"));
        let message = file.read().unwrap_err().to_string();
        assert!(message.contains("/file: No such file"), "{message}");
        assert!(message.contains("--host-proc"), "{message}");
        scratch.write("file", "back");
        assert_eq!(file.read().unwrap(), "back");
    }

    #[test]
    fn what_is_not_text_is_an_error() {
        let scratch = Scratch::new("file-bytes");
        fs::write(scratch.path("file"), b"\xff").unwrap();
        assert!(ProcFile::new(scratch.path("file")).read().is_err());
    }
}
