//! What runs at every wakeup and every context switch. It only looks things up: it may hold a
//! run-queue lock.

use core::ptr;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use monitor_common::{
    hist,
    sched::{HostBank, Loss, OFFCPU, RUNQUEUE, Stamps, THROTTLE_NOTED, THROTTLED, TaskStats},
};
use monitor_ebpf::{
    histogram,
    kernel::Task,
    slow::{self, Measured},
};

use crate::{
    CONTROL, EVENTS, TASKS, control_bank, host, lost, lost_here,
    stamps::{set, stamps_of},
    throttle,
};

/// A thread has been made runnable.
#[inline(always)]
pub fn begin_waiting(task: Task) {
    if let Some(stamps) = stamps_of(task, task.pid()) {
        // SAFETY: as for `sched_switch`: a wakeup holds the lock of the thread's run queue, except when
        // a thread that is on its CPU wakes itself, and then the next switch sets both stamps anew.
        unsafe {
            // A queued thread can be woken again; it has waited since the first time.
            if (*stamps).wake == 0 {
                (*stamps).wake = bpf_ktime_get_ns() | throttle::begin(task, true);
            }
        }
    }
}

/// # Safety
/// Called from `sched_switch`.
#[inline(always)]
pub unsafe fn on_switch(preempted: bool, prev: Task, next: Task) {
    // SAFETY: all pointers are map values, and by the caller's promise nobody else changes them.
    unsafe {
        let now = bpf_ktime_get_ns();
        let bank = control_bank();
        let pid = prev.pid();
        if pid != 0
            && let Some(stamps) = stamps_of(prev, pid)
        {
            let runnable = preempted || prev.is_runnable();
            set(stamps, if runnable { (0, now | throttle::begin(prev, false)) } else { (now, 0) });
        }
        // There is none for NO_BANK.
        let Some(host) = host(bank, next.cpu()) else { return };
        (*host).switches += 1;
        let pid = next.pid();
        if pid == 0 {
            return;
        }
        let Some(stamps) = stamps_of(next, pid) else { return without_storage(host, next) };
        let Stamps { out, wake } = *stamps;
        set(stamps, (0, 0));
        if wake == 0 {
            // Either it was on a CPU, or queued, before the hooks were attached.
            if out != 0 {
                lost(host, Loss::Unmatched);
            }
            return;
        }
        let Some(stats) = TASKS.get(next) else { return without_storage(host, next) };
        let bank = bank & 1;
        let is_noted = wake & THROTTLE_NOTED != 0;
        let wake = wake & !THROTTLE_NOTED;
        let mut waited = now.wrapping_sub(wake);
        if is_noted {
            let throttled = throttle::end(host, stats.as_ptr(), next, (waited, bank));
            tell_slow(next, now, (THROTTLED, throttled));
            waited -= throttled;
        }
        record(host, stats.as_ptr(), bank, RUNQUEUE, waited);
        tell_slow(next, now, (RUNQUEUE, waited));
        if out != 0 {
            record(host, stats.as_ptr(), bank, OFFCPU, wake.wrapping_sub(out));
        }
    }
}

/// A thread that comes has no storage. Whether its process is one that no pass meets, userspace finds
/// out.
///
/// # Safety
/// `host` is a map value that only this CPU changes.
#[cold]
#[inline(never)]
unsafe fn without_storage(host: *mut HostBank, task: Task) {
    let process = u64::from(task.tgid());
    // SAFETY: as above, and a valid static; volatile, as userspace changes it.
    unsafe {
        if process != ptr::read_volatile(&raw const CONTROL.unvisited) {
            lost(host, Loss::NoStorage);
            (*host).without_storage = process;
        }
    }
}

/// Reports a slow wait for a CPU, contended or throttled. Off-CPU time is not reported: most threads are blocked
/// for long.
#[inline(always)]
fn tell_slow(task: Task, ended: u64, (latency, ns): (usize, u64)) {
    if slow::is_slow(ns) {
        tell(task, Measured { latency, ns, ended });
    }
}

#[cold]
#[inline(never)]
fn tell(task: Task, measured: Measured) {
    if !slow::tell_of(&EVENTS, task, measured, ()) {
        lost_here(Loss::RingFull);
    }
}

/// Adds a duration to a histogram of the host and one of a thread.
///
/// # Safety
/// The pointers are map values that only this CPU changes; `bank` and `latency` are places in them.
#[inline(always)]
unsafe fn record(host: *mut HostBank, task: *mut TaskStats, bank: usize, latency: usize, ns: u64) {
    // SAFETY: as above, and the slot is one.
    unsafe {
        let Some(slot) = histogram::slot_of(ns) else { return lost(host, Loss::Implausible) };
        let coarse = hist::coarse(slot);
        let summary = &raw mut (*task).summaries[bank][latency];
        (*summary).mask |= 1 << (coarse / 2);
        histogram::add(&raw mut (*summary).sum, &raw mut (*task).slots[bank][latency], coarse, ns);
        histogram::add(&raw mut (*host).sums[latency], &raw mut (*host).slots[latency], slot, ns);
    }
}
