//! The `bpf` system call, for what aya has no function for.

use std::{
    io,
    os::fd::{FromRawFd, OwnedFd},
};

/// Has the kernel do something; returns what it says.
pub(super) fn call<T>(command: libc::c_long, attributes: &T) -> io::Result<i32> {
    #[expect(unsafe_code, reason = "libc has no wrapper for bpf")]
    // SAFETY: the attributes are plain integers, and all that they point to lives during the call.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) };
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result as i32) }
}

/// Has the kernel make something that is known by a file descriptor.
pub(super) fn open<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    let fd = call(command, attributes)?;
    #[expect(unsafe_code, reason = "a descriptor is a number to the kernel")]
    // SAFETY: the descriptor that comes back is nobody else's.
    unsafe {
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
