//! What is counted once for a process, though several of its threads may come across it.

use core::ptr::NonNull;

use crate::{atomic, kernel::Task, local_storage::TaskStorage};

/// A mark in the first thread of each process that something was counted for, 0 before. It lives as
/// long as that thread, which is not released before all others of its process have ended.
pub type Counted = TaskStorage<u64>;

/// Whether nothing was counted yet for the process of `task`. Without memory for the mark it may be
/// counted twice, which is better than never.
#[inline(always)]
pub fn is_first(counted: &Counted, task: Task) -> bool {
    let leader = task.leader();
    // No thread ends after the last one, so it needs no mark; it may have come after others.
    let mark = if task.is_last() { counted.get(leader) } else { counted.get_or_create(leader) };
    // SAFETY: the leader's storage, 8-byte aligned.
    mark.is_none_or(|mark: NonNull<u64>| unsafe {
        atomic::compare_exchange(mark.as_ptr(), 0, 1) == 0
    })
}
