//! The pass over all threads, once a tick.

use core::ptr::{self, NonNull};

use monitor_common::{
    key::BANKS,
    sched::{StampSlot, TaskRecord, TaskStats},
};
use monitor_ebpf::{
    histogram,
    kernel::{Task, TaskIter},
    process,
};

use crate::{
    CONTROL, TASKS, bank,
    stamps::slot_of,
    thread::{adopt, used},
};

/// In [`StampSlot::reported`]: the owner has not run since the hooks were attached, so nobody knows
/// since when it is blocked.
const ALWAYS: u64 = u64::MAX;

/// Reports one thread, if it has news.
///
/// # Safety
/// Called from an `iter/task` program, with no hook writing to the other bank.
#[inline(always)]
pub unsafe fn report(ctx: &TaskIter, task: Task) {
    // SAFETY: all pointers are map values; the bank and the counters belong to the pass alone.
    unsafe {
        CONTROL.threads += 1;
        if u64::from(task.tgid()) == CONTROL.suspect {
            CONTROL.suspects_met += 1;
        }
        let slot = slot_of(task, task.pid());
        let blocked = slot.and_then(|slot| blocked_since(task, slot.as_ptr()));
        // Nothing changes while a thread is blocked.
        if let (Some(slot), Some(since)) = (slot, blocked)
            && (*slot.as_ptr()).reported == since
        {
            return;
        }
        // When it is still in the list now, `sched_process_free` waits until this program is done.
        if task.is_released() {
            return;
        }
        let adopted = TASKS.get(task).map(NonNull::as_ptr).filter(|stats| (**stats).first_pid != 0);
        let Some(stats) = adopted else { return take_in(task) };
        let ended = bank() ^ 1;
        let usage = used(task, &*stats);
        let faults = usage.minor_faults | usage.major_faults;
        let news = usage.cpu_time | usage.voluntary | usage.involuntary | faults;
        if !is_empty(stats, ended) || news != 0 {
            let record = TaskRecord {
                key: process::key(task.leader(), task.tgid(), 0),
                usage,
                summaries: (*stats).summaries[ended],
            };
            if !(ctx.write(&record) && ctx.write(&raw const (*stats).slots[ended])) {
                // The kernel calls again for this thread once userspace has made room.
                CONTROL.threads -= 1;
                return;
            }
            histogram::clear(&raw mut (*stats).summaries[ended]);
            histogram::clear(&raw mut (*stats).slots[ended]);
            (*stats).cpu_time = (*stats).cpu_time.wrapping_add(usage.cpu_time);
            (*stats).voluntary = (*stats).voluntary.wrapping_add(usage.voluntary as u32);
            (*stats).involuntary = (*stats).involuntary.wrapping_add(usage.involuntary as u32);
            (*stats).minor_faults = (*stats).minor_faults.wrapping_add(usage.minor_faults as u32);
            (*stats).major_faults = (*stats).major_faults.wrapping_add(usage.major_faults as u32);
        }
        // What it did since the banks were flipped is for the next pass.
        if let Some(slot) = slot
            && is_empty(stats, ended ^ 1)
        {
            (*slot.as_ptr()).reported = blocked.unwrap_or(0);
        }
    }
}

/// Gives a thread its storage that was there before the hooks, or that they missed. One that has not run
/// yet may be in the hands of the hooks just now: should it need storage, it gets it after it has run.
///
/// # Safety
/// Called from the pass.
#[inline(always)]
unsafe fn take_in(task: Task) {
    let stats = if task.has_run() { TASKS.get_or_create(task) } else { None };
    // SAFETY: the thread's storage, and what belongs to the pass.
    unsafe {
        match stats {
            Some(stats) => adopt(task, stats.as_ptr()),
            None => CONTROL.without_storage += 1,
        }
    }
}

/// Since when a thread is blocked; `None` when it is not. A thread in the middle of a switch may look
/// as if it had always been blocked: should a pass go over it then, it reports what is there the next
/// time.
///
/// # Safety
/// `slot` is the thread's.
#[inline(always)]
unsafe fn blocked_since(task: Task, slot: *const StampSlot) -> Option<u64> {
    // SAFETY: a map value.
    let stamps = unsafe { ptr::read_volatile(&raw const (*slot).stamps) };
    match (stamps.out, stamps.wake) {
        (0, 0) if !task.is_on_cpu() => Some(ALWAYS),
        (0, _) => None,
        (out, _) => Some(out),
    }
}

/// Whether nothing was recorded in a bank.
///
/// # Safety
/// `stats` is a map value, and `bank` a bank.
#[inline(always)]
unsafe fn is_empty(stats: *const TaskStats, bank: usize) -> bool {
    // SAFETY: as above.
    unsafe { (*stats).summaries[bank & (BANKS - 1)].iter().all(|summary| summary.mask == 0) }
}
