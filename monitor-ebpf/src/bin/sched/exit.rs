//! What a thread leaves behind when it ends.

use aya_ebpf::programs::BtfTracePointContext;
use aya_log_ebpf::debug;
use monitor_common::{
    key::{BANKS, ProcessKey},
    sched::{Exited, LATENCIES, Loss, TaskStats},
};
use monitor_ebpf::{atomic, histogram, kernel::Task, process, table};

use crate::{EXITED, bank, lost_here, thread::used};

/// The first value of an entry of [`EXITED`].
static NOTHING: Exited = Exited::EMPTY;

/// # Safety
/// The thread has exited, and `stats` is its storage.
#[inline(always)]
pub unsafe fn leave_behind(ctx: &BtfTracePointContext, task: Task, stats: *mut TaskStats) {
    // SAFETY: map values; what is shared with other CPUs is only added to, atomically.
    unsafe {
        let Some(exited) = entry_for(ctx, task) else { return };
        let usage = used(task, &*stats);
        let total = &raw mut (*exited).usage;
        atomic::add(&raw mut (*exited).threads, 1);
        atomic::add(&raw mut (*total).cpu_time, usage.cpu_time);
        atomic::add(&raw mut (*total).voluntary, usage.voluntary);
        atomic::add(&raw mut (*total).involuntary, usage.involuntary);
        atomic::add(&raw mut (*total).minor_faults, usage.minor_faults);
        atomic::add(&raw mut (*total).major_faults, usage.major_faults);
        for bank in 0..BANKS {
            for latency in 0..LATENCIES {
                let from = (*stats).summaries[bank][latency];
                if from.mask != 0 {
                    let to = &raw mut (*exited).summaries[latency];
                    atomic::or(&raw mut (*to).mask, from.mask);
                    atomic::add(&raw mut (*to).sum, from.sum);
                    let slots = &raw const (*stats).slots[bank][latency];
                    histogram::merge(from.mask, slots, &raw mut (*exited).slots[latency]);
                }
            }
        }
    }
}

/// The entry of the table of exited threads that a thread belongs to: its process's while that lives,
/// else its group's, else the one for all others.
#[inline(always)]
fn entry_for(ctx: &BtfTracePointContext, task: Task) -> Option<*mut Exited> {
    let bank = bank();
    let (pid, tgid) = (task.pid(), task.tgid());
    // The leader may be gone, and its memory in use for another task.
    let leader = task.leader();
    let named = if leader.tgid() == tgid { leader } else { task };
    let key = process::key(named, if pid == tgid { 0 } else { tgid }, bank);
    table::entry(&EXITED, &key, &NOTHING, || {
        lost_here(Loss::ExitedFull);
        debug!(ctx, "the table of exited threads is full: thread {} goes to (other)", pid);
        ProcessKey::other(bank as u16)
    })
}
