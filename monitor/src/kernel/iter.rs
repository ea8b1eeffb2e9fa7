//! Passes: running an iterator program to its end. aya cannot say which map an iterator is for, so that
//! is done here.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use aya::programs::{Iter, ProgramError, links::LinkError};

use super::loader::Object;
use crate::error::chain;

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

/// Why a pass could not be made.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// It is not among the object's programs.
    #[error("there is no such program")]
    Missing,
    /// The kernel refuses it.
    #[error("{}", chain(.0))]
    Program(#[from] ProgramError),
    /// It cannot be begun.
    #[error("{}", chain(.0))]
    Link(#[from] LinkError),
    /// It broke off.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Runs a loaded program over all that is of its kind, and appends what it writes to `records`.
pub fn over_all(
    object: &mut Object,
    program: &str,
    records: &mut Vec<u8>,
) -> Result<(), PassError> {
    let program = find(object, program)?;
    let link = program.attach()?;
    let mut file = program.take_link(link)?.into_file()?;
    file.read_to_end(records)?;
    Ok(())
}

/// Runs a loaded program, which writes nothing, over all values of a map.
pub fn over_map(object: &mut Object, program: &str, map: BorrowedFd<'_>) -> Result<(), PassError> {
    let mut file = begin(find(object, program)?.fd()?.as_fd(), map)?;
    io::copy(&mut file, &mut io::sink())?;
    Ok(())
}

fn find<'a>(object: &'a mut Object, program: &str) -> Result<&'a mut Iter, PassError> {
    let program = object.ebpf.program_mut(program).ok_or(PassError::Missing)?;
    Ok(program.try_into()?)
}

/// Begins a pass over all values of a map, which goes on as the file is read.
fn begin(program: BorrowedFd<'_>, map: BorrowedFd<'_>) -> io::Result<File> {
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
