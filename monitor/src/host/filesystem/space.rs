//! How the space of a file system is used.

use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The space of a file system, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Space {
    /// Taken.
    pub(super) used: u64,
    /// For anybody to take.
    pub(super) free: u64,
    /// For root to take.
    pub(super) reserved: u64,
    /// Whether it is mounted read-only.
    pub(super) read_only: bool,
}

impl Space {
    /// Asks the file system that is mounted at `mount_point`.
    pub(super) fn at(mount_point: &Path) -> io::Result<Self> {
        let path = CString::new(mount_point.as_os_str().as_bytes())?;
        let mut stat = MaybeUninit::<libc::statvfs>::uninit();
        #[expect(unsafe_code, reason = "the standard library has no statvfs")]
        // SAFETY: the path ends in a zero byte, the structure is large enough, and it is written
        // whole when the call returns 0.
        let stat = unsafe {
            if libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) != 0 {
                return Err(io::Error::last_os_error());
            }
            stat.assume_init()
        };
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self {
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            free: bytes(stat.f_bavail),
            reserved: bytes(stat.f_bfree.saturating_sub(stat.f_bavail)),
            read_only: stat.f_flag & libc::ST_RDONLY != 0,
        })
    }

    /// All of it.
    pub(super) fn size(&self) -> u64 {
        self.used + self.free + self.reserved
    }
}
