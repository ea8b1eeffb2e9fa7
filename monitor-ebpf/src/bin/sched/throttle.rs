//! The part of a wait for a CPU in which the quota of the thread's group was used up: what the throttled time
//! of its run queue grows by, from the beginning of the wait to its end. Without a quota nothing is noted.

use aya_ebpf::{btf_maps::HashMap, helpers::bpf_ktime_get_ns, macros::btf_map};
use monitor_common::{
    hist,
    key::ProcessKey,
    sched::{HostBank, Loss, ProcessThrottled, THROTTLE_NOTED, THROTTLED, TaskStats},
};
use monitor_ebpf::{histogram, kernel::Task, process, table};

use crate::{TASKS, lost, stamps::stamps_of};

/// By process; userspace empties it once a tick. All its entries are there from the beginning, as nothing
/// is allocated under a run-queue lock.
#[btf_map]
static THROTTLES: HashMap<ProcessKey, ProcessThrottled, 512> = HashMap::new();

/// The first value of an entry.
static NOTHING: ProcessThrottled = ProcessThrottled::EMPTY;

/// In [`TaskStats::throttle_queue`]: the clock is a duration.
const SETTLED: u32 = 0;

/// Begins a wait, of a thread that was `woken` or made to leave its CPU. Returns what to put into the stamp
/// beside the time.
#[inline(always)]
pub fn begin(task: Task, woken: bool) -> u64 {
    if task.may_be_throttled(woken) { note(task) } else { 0 }
}

#[inline(never)]
fn note(task: Task) -> u64 {
    let Some(stats) = TASKS.get(task) else { return 0 };
    let (queue, stats) = (task.group_queue(), stats.as_ptr());
    // SAFETY: the thread's storage, which only the holder of its run-queue lock changes.
    unsafe {
        (*stats).throttle_queue = queue.id();
        (*stats).throttle_clock = queue.throttled_ns();
    }
    THROTTLE_NOTED
}

/// A thread migrates to another CPU: stores the throttled time of the wait until now. A thread that is still
/// throttled has been throttled for all of the wait; the next CPU does not have the start of that.
#[inline(always)]
pub fn leave_cpu(task: Task) {
    // SAFETY: map values, as in `note`.
    unsafe {
        if let Some(stamps) = stamps_of(task, task.pid())
            && (*stamps).wake & THROTTLE_NOTED != 0
            && let Some(stats) = TASKS.get(task)
        {
            let stats = stats.as_ptr();
            (*stats).throttle_clock = if task.is_throttled() {
                bpf_ktime_get_ns().wrapping_sub((*stamps).wake & !THROTTLE_NOTED)
            } else {
                noted(task, stats)
            };
            (*stats).throttle_queue = SETTLED;
        }
    }
}

/// Ends a wait of which the beginning was noted: records what part of it the thread was throttled, and
/// returns that.
///
/// # Safety
/// `host` is the CPU's map value and `stats` the thread's storage, in the hands of `sched_switch`.
#[inline(never)]
pub unsafe fn end(
    host: *mut HostBank,
    stats: *mut TaskStats,
    task: Task,
    (waited, bank): (u64, usize),
) -> u64 {
    // SAFETY: as above.
    unsafe {
        // The two clocks may differ by a little.
        let throttled = noted(task, stats).min(waited);
        if throttled != 0 {
            record(host, task, bank, throttled);
        }
        throttled
    }
}

/// Throttled time of a thread since its wait began, in nanoseconds; 0 where it changed its run queue untraced: by
/// moving to another cgroup, or before migrations are traced.
///
/// # Safety
/// `stats` is the thread's storage.
#[inline(always)]
unsafe fn noted(task: Task, stats: *const TaskStats) -> u64 {
    // SAFETY: as above.
    let (queue, clock) = unsafe { ((*stats).throttle_queue, (*stats).throttle_clock) };
    let now = task.group_queue();
    if queue == SETTLED {
        clock
    } else if queue == now.id() {
        now.throttled_ns().wrapping_sub(clock)
    } else {
        0
    }
}

/// Adds a duration to the histograms of the host and of a thread's process.
///
/// # Safety
/// `host` is a map value that only this CPU changes.
#[inline(always)]
unsafe fn record(host: *mut HostBank, task: Task, bank: usize, ns: u64) {
    // SAFETY: map values, and there is such a slot; behind the slots of a process comes the sum.
    unsafe {
        let Some(slot) = histogram::slot_of(ns) else { return lost(host, Loss::Implausible) };
        let key = process::key(task.leader(), task.tgid(), bank);
        let entry = table::entry(&THROTTLES, &key, &NOTHING, || {
            lost(host, Loss::ThrottledFull);
            ProcessKey::other(bank as u16)
        });
        // Both or neither, so that the groups add up to the host.
        let Some(entry) = entry else { return };
        let (sums, slots) = (&raw mut (*entry).sums, &raw mut (*entry).slots);
        histogram::add_shared(&raw mut (*sums)[0], &raw mut (*slots)[0], hist::coarse(slot), ns);
        let (sums, slots) = (&raw mut (*host).sums, &raw mut (*host).slots);
        histogram::add(&raw mut (*sums)[THROTTLED], &raw mut (*slots)[THROTTLED], slot, ns);
    }
}
