//! A message that a process sends or receives by a socket.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_probe_read_kernel;
use monitor_common::offsets::MessageOffsets;

use super::{
    sock::{AF_INET6, Endpoint, mapped},
    task::{constant, member},
};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static MESSAGE_OFFSETS: MessageOffsets = MessageOffsets::ABSENT;

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
        let name = unsafe { member(self.0, constant(&MESSAGE_OFFSETS.name)) };
        if name.is_null() {
            return None;
        }
        // SAFETY: reads nothing where nothing is.
        let name = unsafe { bpf_probe_read_kernel(name.cast::<Name>()) }.ok()?;
        let address = if name.family == AF_INET6 { name.v6 } else { mapped(name.v4) };
        Some(Endpoint { address, port: u16::from_be(name.port) })
    }
}
