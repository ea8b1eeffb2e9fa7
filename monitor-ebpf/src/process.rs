//! Whom a task's usage belongs to.

use monitor_common::key::ProcessKey;

use crate::kernel::Task;

/// The key of the process that `task` is a thread of.
#[inline(always)]
pub fn of(task: Task) -> ProcessKey {
    key(task.leader(), task.tgid(), 0)
}

/// The key of a process that is named after `task`.
#[inline(always)]
pub fn key(task: Task, tgid: u32, bank: usize) -> ProcessKey {
    ProcessKey {
        cgroup_id: task.cgroup_id(),
        comm: task.comm(),
        tgid,
        bank: bank as u16,
        kernel_thread: task.is_kernel_thread().into(),
    }
}
