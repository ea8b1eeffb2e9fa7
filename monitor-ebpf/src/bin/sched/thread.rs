//! A thread from its first sight to its end: its slot for stamps, and what of the kernel's counters
//! has been reported.

use monitor_common::sched::{Loss, TaskStats, Usage};
use monitor_ebpf::kernel::Task;

use crate::{
    lost_here,
    stamps::{set, slot_for},
};

/// Takes a thread in: a slot for its stamps if there is one, and the counters as they are, so that
/// only what it does from now on is reported.
///
/// # Safety
/// `stats` is the thread's storage.
#[inline(always)]
pub unsafe fn adopt(task: Task, stats: *mut TaskStats) {
    // SAFETY: map values.
    unsafe {
        if (*stats).first_pid != 0 {
            return;
        }
        (*stats).cpu_time = task.cpu_time();
        (*stats).voluntary = task.voluntary_switches() as u32;
        (*stats).involuntary = task.involuntary_switches() as u32;
        (*stats).minor_faults = task.minor_faults() as u32;
        (*stats).major_faults = task.major_faults() as u32;
        (*stats).first_pid = task.pid();
        if let Some(slot) = slot_for((*stats).first_pid) {
            // When two threads do this at once the last has the slot: ownership counts at each use.
            // An owner at the same address is one whose end was not seen.
            if (*slot).owner == 0 || (*slot).owner == task.address() {
                set(&raw mut (*slot).stamps, (0, 0));
                (*slot).reported = 0;
                (*slot).owner = task.address();
            }
        }
    }
}

/// Makes the thread's slot free for others. It is not always that of its id: a thread that executes
/// a program takes over the id of the first thread of its process, and that one gets its id.
///
/// # Safety
/// The thread has exited, and `stats` is its storage.
#[inline(always)]
pub unsafe fn release(task: Task, stats: *const TaskStats) {
    // SAFETY: map values.
    unsafe {
        if let Some(slot) = slot_for((*stats).first_pid)
            && (*slot).owner == task.address()
        {
            (*slot).owner = 0;
        }
    }
}

/// The same of a thread whose storage cannot be read: what it used since the last pass is lost. It had
/// storage if it has a slot, or if another thread has it. Of threads that were gone before the hooks were
/// attached the slot is free.
#[inline(always)]
pub fn release_unread(task: Task) {
    let Some(slot) = slot_for(task.pid()) else { return };
    // SAFETY: a map value, whose owner only its thread changes.
    unsafe {
        if (*slot).owner == 0 {
            return;
        }
        lost_here(Loss::ExitUnread);
        if (*slot).owner == task.address() {
            (*slot).owner = 0;
        }
    }
}

/// What a thread used of what the kernel counts, since it was last asked for; the answer is final
/// only once it has been marked as reported.
#[inline(always)]
pub fn used(task: Task, stats: &TaskStats) -> Usage {
    let mut cpu_time = task.cpu_time().wrapping_sub(stats.cpu_time);
    if (cpu_time as i64) < 0 {
        lost_here(Loss::Implausible);
        cpu_time = 0;
    }
    Usage {
        cpu_time,
        voluntary: (task.voluntary_switches() as u32).wrapping_sub(stats.voluntary).into(),
        involuntary: (task.involuntary_switches() as u32).wrapping_sub(stats.involuntary).into(),
        minor_faults: (task.minor_faults() as u32).wrapping_sub(stats.minor_faults).into(),
        major_faults: (task.major_faults() as u32).wrapping_sub(stats.major_faults).into(),
    }
}
