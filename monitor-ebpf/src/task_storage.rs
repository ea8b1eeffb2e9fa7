//! `BPF_MAP_TYPE_TASK_STORAGE`, which aya-ebpf has no wrapper for: a value in every task that wants
//! one, freed with the task.

use core::ptr::{self, NonNull};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_LOCAL_STORAGE_GET_F_CREATE, bpf_map_type},
    helpers::generated::bpf_task_storage_get,
};

use crate::kernel::Task;

/// A map definition in the form that the loader reads from BTF; the pointers are never followed.
#[repr(C)]
pub struct TaskStorage<T> {
    r#type: *const [i32; bpf_map_type::BPF_MAP_TYPE_TASK_STORAGE as usize],
    key: *const i32,
    value: *const T,
    max_entries: *const [i32; 0],
    map_flags: *const [i32; BPF_F_NO_PREALLOC as usize],
}

// SAFETY: the fields describe the map to the loader and are never dereferenced.
unsafe impl<T> Sync for TaskStorage<T> {}

impl<T> TaskStorage<T> {
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

    /// The task's value, if it has one. Allowed everywhere.
    #[inline(always)]
    pub fn get(&self, task: Task) -> Option<NonNull<T>> {
        self.lookup(task, 0)
    }

    /// The task's value, made of zeros when there is none. It allocates, so it must never be called
    /// where a run-queue lock may be held.
    #[inline(always)]
    pub fn get_or_create(&self, task: Task) -> Option<NonNull<T>> {
        self.lookup(task, BPF_LOCAL_STORAGE_GET_F_CREATE.into())
    }

    #[inline(always)]
    fn lookup(&self, task: Task, flags: u64) -> Option<NonNull<T>> {
        let map = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: the loader puts the map's address here, and the verifier checks the task pointer.
        NonNull::new(
            unsafe { bpf_task_storage_get(map, task.as_ptr(), ptr::null_mut(), flags) }.cast(),
        )
    }
}
