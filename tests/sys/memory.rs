//! Memory that is used a page at a time.

use std::{fs::File, io, os::fd::AsRawFd, ptr, slice};

/// Bytes of a page, on the machines that these tests run on.
pub const PAGE: usize = 4096;

/// Memory that pages are touched of, given back at the end.
pub struct Mapping {
    start: *mut u8,
    bytes: usize,
}

impl Mapping {
    /// Memory that is of no file, in pages of the usual size.
    pub fn anonymous(pages: usize) -> Self {
        let mapping = Self::new(pages, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1);
        mapping.advise(libc::MADV_NOHUGEPAGE);
        mapping
    }

    /// Memory that is a file's, of which nothing is read ahead, nor left in memory.
    pub fn file(file: &File, pages: usize) -> Self {
        let file = file.as_raw_fd();
        let mapping = Self::new(pages, libc::MAP_SHARED, file);
        mapping.advise(libc::MADV_RANDOM);
        #[expect(unsafe_code, reason = "the standard library does not advise the kernel")]
        // SAFETY: takes integers only.
        let result = unsafe { libc::posix_fadvise(file, 0, 0, libc::POSIX_FADV_DONTNEED) };
        assert_eq!(result, 0, "{}", io::Error::from_raw_os_error(result));
        mapping
    }

    fn new(pages: usize, flags: i32, file: i32) -> Self {
        let (bytes, protection) = (pages * PAGE, libc::PROT_READ | libc::PROT_WRITE);
        #[expect(unsafe_code, reason = "the standard library does not map memory")]
        // SAFETY: a new mapping, wherever there is room for it.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, file, 0) };
        assert_ne!(start, libc::MAP_FAILED, "no memory: {}", io::Error::last_os_error());
        Self { start: start.cast(), bytes }
    }

    fn advise(&self, advice: i32) {
        #[expect(unsafe_code, reason = "the standard library does not advise the kernel")]
        // SAFETY: the mapping is ours.
        unsafe {
            libc::madvise(self.start.cast(), self.bytes, advice);
        }
    }

    /// Writes to every page.
    pub fn write(&mut self) {
        #[expect(unsafe_code, reason = "plain memory")]
        // SAFETY: the mapping is ours and this large.
        let bytes = unsafe { slice::from_raw_parts_mut(self.start, self.bytes) };
        bytes.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    }

    /// Reads from every page.
    pub fn read(&self) -> u64 {
        self.pages().sum()
    }

    /// Reads from a page each time that the next is asked for.
    pub fn pages(&self) -> impl Iterator<Item = u64> {
        #[expect(unsafe_code, reason = "plain memory")]
        // SAFETY: as above.
        let bytes = unsafe { slice::from_raw_parts(self.start, self.bytes) };
        bytes.iter().step_by(PAGE).map(|byte| u64::from(*byte))
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "what was mapped is unmapped")]
        // SAFETY: nobody uses it any more.
        unsafe {
            libc::munmap(self.start.cast(), self.bytes);
        }
    }
}
