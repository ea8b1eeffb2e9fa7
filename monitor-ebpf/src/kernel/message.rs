//! A message that a process sends or receives by a socket.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_probe_read_kernel, bpf_probe_read_user};
use monitor_common::offsets::{ABSENT, MessageOffsets, Offset};

use super::{
    sock::{AF_INET6, Endpoint, mapped},
    task::{constant, member},
};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static MESSAGE_OFFSETS: MessageOffsets = MessageOffsets::ABSENT;

/// Kinds of buffers, by the numbers of the running kernel; written by userspace before loading.
#[unsafe(no_mangle)]
static ITER_UBUF: u32 = ABSENT;
#[unsafe(no_mangle)]
static ITER_IOVEC: u32 = ABSENT;

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&MESSAGE_OFFSETS.$field)
    };
}

/// A `struct iovec`: a part of a process's memory.
#[repr(C)]
#[derive(Clone, Copy)]
struct Buffer {
    base: u64,
    len: u64,
}

/// As much of a `struct sockaddr_storage` as an address of IP takes, in the form of IPv6. Every system
/// call that takes or gives an address has room for more than this.
#[repr(C)]
#[derive(Clone, Copy)]
struct Name {
    family: u16,
    /// Most significant byte first.
    port: u16,
    /// The address, if it is one of IPv4.
    v4: u32,
    v6: [u32; 4],
}

/// A `struct msghdr`.
#[derive(Clone, Copy)]
pub struct Message(*const c_void);

impl Message {
    /// The argument of a function.
    ///
    /// # Safety
    /// `message` is a pointer that the verifier knows to be one to a `struct msghdr`.
    #[inline(always)]
    pub unsafe fn from_ptr(message: *const c_void) -> Self {
        Self(message)
    }

    /// The address that it is sent to, or came from; none when that is left to the socket, or when
    /// nobody asked.
    #[inline(always)]
    pub fn endpoint(self) -> Option<Endpoint> {
        // SAFETY: the type is known to the verifier, by the promise that was made for it.
        let name = unsafe { member(self.0, offset!(name)) };
        if name.is_null() {
            return None;
        }
        // SAFETY: reads nothing where nothing is.
        let name = unsafe { bpf_probe_read_kernel(name.cast::<Name>()) }.ok()?;
        let address = if name.family == AF_INET6 { name.v6 } else { mapped(name.v4) };
        Some(Endpoint { address, port: u16::from_be(name.port) })
    }

    /// Copies a pointer as a number, to calculate with: the verifier takes one that is loaded for that of
    /// another member of the same union.
    #[inline(always)]
    fn copy(self, offset: Offset<u64>) -> Option<u64> {
        let place = self.0.cast::<u8>().wrapping_add(offset.bytes()).cast();
        // SAFETY: reads nothing where nothing is.
        unsafe { bpf_probe_read_kernel(place) }.ok()
    }

    /// The first two bytes of a message of which as many `bytes` have been copied, most significant
    /// byte first; none where they are not in a process's memory, or not in one piece with the rest.
    #[inline(always)]
    pub fn first_two(self, bytes: u64) -> Option<u16> {
        // SAFETY: as above.
        let (kind, copied) =
            unsafe { (member(self.0, offset!(iter_type)), member(self.0, offset!(iov_offset))) };
        // Older verifiers look into the first branch unless the kernel's lack of the member rules it out.
        let first = if !offset!(ubuf).is_absent() && u32::from(kind) == constant(&ITER_UBUF) {
            self.copy(offset!(ubuf))?
        } else if u32::from(kind) == constant(&ITER_IOVEC) {
            // A buffer that is used up is the one before the current.
            let used_up = if copied == 0 { size_of::<Buffer>() as u64 } else { 0 };
            let buffer = self.copy(offset!(iov))?.wrapping_sub(used_up) as *const Buffer;
            // SAFETY: reads nothing where nothing is.
            let Buffer { base, len } = unsafe { bpf_probe_read_kernel(buffer) }.ok()?;
            let copied = if copied == 0 { len } else { copied };
            base.wrapping_add(copied.checked_sub(bytes)?)
        } else {
            return None;
        };
        // SAFETY: reads nothing where nothing is.
        unsafe { bpf_probe_read_user(first as *const [u8; 2]) }.ok().map(u16::from_be_bytes)
    }
}
