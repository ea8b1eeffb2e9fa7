//! Local storage, for which aya-ebpf has no wrapper that could be used here: a value in every task, or
//! in every socket, that wants one, freed with it.

use core::{
    ffi::c_void,
    ptr::{self, NonNull},
};

use aya_ebpf::{
    bindings::{
        BPF_F_CLONE, BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE,
        bpf_map_type::{BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE},
    },
    helpers::generated::{bpf_sk_storage_get, bpf_task_storage_get},
};

use crate::kernel::{Sock, Task};

const TASK: usize = BPF_MAP_TYPE_TASK_STORAGE as usize;
const SOCK: usize = BPF_MAP_TYPE_SK_STORAGE as usize;

/// A value in every task that wants one.
pub type TaskStorage<T> = LocalStorage<T, TASK, { BPF_F_NO_PREALLOC as usize }>;
/// A value in every socket that wants one. A socket that a listener makes begins with a copy of the
/// listener's.
pub type SockStorage<T> = LocalStorage<T, SOCK, { (BPF_F_NO_PREALLOC | BPF_F_CLONE) as usize }>;

/// A map definition in the form that the loader reads from BTF; the pointers are never followed.
#[repr(C)]
pub struct LocalStorage<T, const TYPE: usize, const FLAGS: usize> {
    r#type: *const [i32; TYPE],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; FLAGS],
}

// SAFETY: the fields describe the map to the loader and are never dereferenced.
unsafe impl<T, const TYPE: usize, const FLAGS: usize> Sync for LocalStorage<T, TYPE, FLAGS> {}

/// What has storage in maps of a type.
pub trait Owner<const TYPE: usize> {
    /// The address of its value, null when there is none.
    ///
    /// # Safety
    /// `map` is a map of this type.
    unsafe fn storage(self, map: *mut c_void, flags: u64) -> *mut c_void;
}

impl Owner<TASK> for Task {
    #[inline(always)]
    unsafe fn storage(self, map: *mut c_void, flags: u64) -> *mut c_void {
        // SAFETY: by the caller's promise; the verifier checks the task.
        unsafe { bpf_task_storage_get(map, self.as_ptr(), ptr::null_mut(), flags) }
    }
}

impl Owner<SOCK> for Sock {
    #[inline(always)]
    unsafe fn storage(self, map: *mut c_void, flags: u64) -> *mut c_void {
        // SAFETY: by the caller's promise; the verifier checks the socket.
        unsafe { bpf_sk_storage_get(map, self.as_ptr(), ptr::null_mut(), flags) }
    }
}

impl<T, const TYPE: usize, const FLAGS: usize> LocalStorage<T, TYPE, FLAGS> {
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

    /// The owner's value, if it has one. Allowed everywhere.
    #[inline(always)]
    pub fn get(&self, owner: impl Owner<TYPE>) -> Option<NonNull<T>> {
        self.lookup(owner, 0)
    }

    /// The owner's value, made of zeros when there is none. It allocates, so it must never be called
    /// where a run-queue lock may be held.
    ///
    /// Where CPUs create it at the same time, the kernel fails all but one: with `EAGAIN` those that would have
    /// made the owner's first value in any map, then with `EEXIST` those that would have made this one.
    #[inline(always)]
    pub fn get_or_create(&self, owner: impl Owner<TYPE> + Copy) -> Option<NonNull<T>> {
        let create = || self.lookup(owner, BPF_LOCAL_STORAGE_GET_F_CREATE.into());
        create().or_else(create).or_else(create)
    }

    #[inline(always)]
    fn lookup(&self, owner: impl Owner<TYPE>, flags: u64) -> Option<NonNull<T>> {
        let map = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the loader puts the map's address here.
        let value = unsafe { owner.storage(map, flags) };
        NonNull::new(value.cast())
    }
}
