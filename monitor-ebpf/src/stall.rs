//! Measuring stalls: what keeps a running thread in the kernel, from a beginning to an end that are both
//! seen in that thread.
//!
//! Nothing is allocated here, as there may be no memory: a beginning is in a slot of the thread's id.

use aya_ebpf::{btf_maps::Array, helpers::bpf_ktime_get_ns};
use monitor_common::{
    hist,
    key::{BANKS, ProcessKey},
    stall::{HostBank, Loss, ProcessStalls, STARTS, Stalls, Start},
};

use crate::{
    atomic, bank, histogram,
    kernel::Task,
    process,
    slow::{self, Measured, SlowRing},
};

/// Beginnings, by the low bits of the thread id.
pub type Begun<const KINDS: usize> = Array<Start<KINDS>, STARTS>;

/// What was counted of the host, by bank.
pub type Host<const KINDS: usize> = Array<HostBank<KINDS>, BANKS>;

/// Counts a loss.
#[inline(always)]
pub fn lost<const KINDS: usize>(host: &Host<KINDS>, bank: usize, reason: Loss) {
    if let Some(host) = host.get_ptr_mut(bank as u32) {
        // SAFETY: a map value, 8-byte aligned.
        unsafe { atomic::add(&raw mut (*host).lost[reason as usize], 1) };
    }
}

/// The running thread begins. Its end will have this `number`, see [`Start::number`].
#[inline(always)]
pub fn begin<const KINDS: usize>(begun: &Begun<KINDS>, kind: usize, number: u64) {
    let task = Task::current();
    let Some(start) = slot(begun, task) else { return };
    // SAFETY: a map value. Should another thread have the slot, its end will find this owner and be
    // counted as lost; should both begin in the same moment, that is the beginning of either.
    unsafe {
        if (*start).owner != task.address() {
            (*start).begin = [0; KINDS];
            (*start).owner = task.address();
        }
        (*start).number = number;
        (*start).begin[kind] = bpf_ktime_get_ns();
    }
}

/// The running thread is done with what has this `number`: counts that for its process, of which `entry` has
/// the value, and for the host, and reports it if it was slow.
#[inline(always)]
pub fn end<const KINDS: usize>(
    (begun, host, events): (&Begun<KINDS>, &Host<KINDS>, &SlowRing),
    (kind, number): (usize, u64),
    entry: impl FnOnce(&ProcessKey, usize) -> Option<*mut ProcessStalls<KINDS>>,
) {
    let task = Task::current();
    let bank = bank::active();
    let Some(start) = slot(begun, task) else { return };
    // SAFETY: map values.
    unsafe {
        let begin = (*start).begin[kind];
        if (*start).owner != task.address() || begin == 0 || (*start).number != number {
            return lost(host, bank, Loss::Unmatched);
        }
        (*start).begin[kind] = 0;
        let ns = bpf_ktime_get_ns().wrapping_sub(begin);
        let Some(slot) = histogram::slot_of(ns) else {
            return lost(host, bank, Loss::Implausible);
        };
        // Both or neither, so that the groups add up to the host.
        let (Some(process), Some(all)) =
            (entry(&process::of(task), bank), host.get_ptr_mut(bank as u32))
        else {
            return;
        };
        add(process, kind, hist::coarse(slot), ns);
        add(&raw mut (*all).stalls, kind, slot, ns);
        let measured = Measured { latency: kind, ns, ended: begin + ns };
        if slow::is_slow(ns) && !slow::tell_of(events, task, measured, ()) {
            lost(host, bank, Loss::RingFull);
        }
    }
}

/// # Safety
/// A map value, and there are such a kind and such a slot.
#[inline(always)]
unsafe fn add<const KINDS: usize, const SLOTS: usize>(
    stalls: *mut Stalls<KINDS, SLOTS>,
    kind: usize,
    slot: usize,
    ns: u64,
) {
    // SAFETY: as above; behind the slots come the sums.
    unsafe {
        let (sums, slots) = (&raw mut (*stalls).sums, &raw mut (*stalls).slots);
        histogram::add_shared(&raw mut (*sums)[kind], &raw mut (*slots)[kind], slot, ns);
    }
}

#[inline(always)]
fn slot<const KINDS: usize>(begun: &Begun<KINDS>, task: Task) -> Option<*mut Start<KINDS>> {
    begun.get_ptr_mut(task.pid() & (STARTS as u32 - 1))
}
