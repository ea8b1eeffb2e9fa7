//! Passes over what is stored with sockets: aya cannot say which map an iterator is for.

use std::{
    fs::File,
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_TRACE_ITER: u32 = 28;

/// What `BPF_LINK_CREATE` takes for an iterator.
#[repr(C)]
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    /// Address of a `union bpf_iter_link_info`.
    info: u64,
    info_len: u32,
    unused: u32,
}

/// What `BPF_ITER_CREATE` takes.
#[repr(C)]
struct IterCreate {
    link: u32,
    flags: u32,
}

/// Begins a pass of a loaded iterator program over all values of a map. The pass goes on as the file
/// is read.
pub fn over_map(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<File> {
    let map = map.as_raw_fd() as u32;
    let link = create(
        BPF_LINK_CREATE,
        &LinkCreate {
            program: program.as_raw_fd() as u32,
            target: 0,
            attach_type: BPF_TRACE_ITER,
            flags: 0,
            info: &raw const map as u64,
            info_len: size_of_val(&map) as u32,
            unused: 0,
        },
    )?;
    let link = link.as_fd().as_raw_fd() as u32;
    Ok(create(BPF_ITER_CREATE, &IterCreate { link, flags: 0 })?.into())
}

/// Has the kernel make something that is known by a file descriptor.
fn create<T>(command: libc::c_long, attributes: &T) -> io::Result<OwnedFd> {
    #[expect(unsafe_code, reason = "libc has no wrapper for bpf")]
    // SAFETY: the attributes are plain integers, all that they point to lives during the call, and
    // the descriptor that comes back is nobody else's.
    unsafe {
        match libc::syscall(libc::SYS_bpf, command, attributes, size_of::<T>()) {
            -1 => Err(io::Error::last_os_error()),
            fd => Ok(OwnedFd::from_raw_fd(fd as i32)),
        }
    }
}
