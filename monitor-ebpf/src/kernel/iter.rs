//! The contexts of iterator programs, which aya-ebpf has no types for.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{seq_file, task_struct},
    helpers::generated::bpf_seq_write,
};

use super::{Sock, Task};

/// `struct bpf_iter_meta`.
#[repr(C)]
struct Meta {
    seq: *mut seq_file,
    session_id: u64,
    seq_num: u64,
}

/// `struct bpf_iter__task`: what an `iter/task` program is called with, once for each thread and once
/// more at the end.
#[repr(C)]
pub struct TaskIter {
    meta: *mut Meta,
    task: *mut task_struct,
}

impl TaskIter {
    /// The thread; `None` at the end of the pass.
    #[inline(always)]
    pub fn task(&self) -> Option<Task> {
        Task::from_ptr(self.task)
    }

    /// Appends a value to what userspace reads, if there is room. When there is none the kernel drops
    /// all that was written for this thread, and calls the program for it once more.
    ///
    /// # Safety
    /// `value` can be read.
    #[inline(always)]
    pub unsafe fn write<T>(&self, value: *const T) -> bool {
        // SAFETY: the kernel's context is valid while the program runs, the caller promises the rest.
        let code = unsafe { bpf_seq_write((*self.meta).seq, value.cast(), size_of::<T>() as u32) };
        code == 0
    }
}

/// `struct bpf_iter__task_file`: what an `iter/task_file` program is called with, once for each open
/// file of each process and once more at the end.
#[repr(C)]
pub struct FileIter {
    meta: *mut Meta,
    task: *mut task_struct,
    number: u32,
    file: *mut c_void,
}

impl FileIter {
    /// The process, and its socket, if the file is one.
    #[inline(always)]
    pub fn socket(&self) -> Option<(Task, Sock)> {
        let task = Task::from_ptr(self.task)?;
        if self.file.is_null() {
            return None;
        }
        Some((task, Sock::from_file(self.file)?))
    }
}
