//! `BPF_MAP_TYPE_SK_STORAGE` for programs that are given any socket, which aya-ebpf's wrapper cannot
//! be used in: a value in every socket that wants one, freed with the socket.

use core::ptr::{self, NonNull};

use aya_ebpf::{
    bindings::{BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_SK_STORAGE_GET_F_CREATE, bpf_map_type},
    helpers::generated::bpf_sk_storage_get,
};

use crate::kernel::Sock;

/// What is allocated with its socket; a socket that a listener makes begins with a copy of its value.
const FLAGS: usize = (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize;

/// A map definition in the form that the loader reads from BTF; the pointers are never followed.
#[repr(C)]
pub struct SockStorage<T> {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_SK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the fields describe the map to the loader and are never dereferenced.
unsafe impl<T> Sync for SockStorage<T> {}

impl<T> SockStorage<T> {
    /// The definition.
    #[expect(clippy::new_without_default, reason = "only ever the initial value of a static")]
    pub const fn new() -> Self {
        Self {
            r#type: ptr::null(),
            key: ptr::null(),
            value: ptr::null(),
            max_entries: ptr::null(),
            map_flags: ptr::null(),
        }
    }

    /// The socket's value, if it has one.
    #[inline(always)]
    pub fn get(&self, sock: Sock) -> Option<NonNull<T>> {
        self.lookup(sock, 0)
    }

    /// The socket's value, made of zeros when there is none.
    #[inline(always)]
    pub fn get_or_create(&self, sock: Sock) -> Option<NonNull<T>> {
        self.lookup(sock, BPF_SK_STORAGE_GET_F_CREATE.into())
    }

    #[inline(always)]
    fn lookup(&self, sock: Sock, flags: u64) -> Option<NonNull<T>> {
        let map = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the loader puts the map's address here, and the verifier checks the socket.
        NonNull::new(
            unsafe { bpf_sk_storage_get(map, sock.as_ptr(), ptr::null_mut(), flags) }.cast(),
        )
    }
}
