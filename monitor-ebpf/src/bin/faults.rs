//! `faults`: how long threads wait for pages that have to be read from a disk.
//!
//! The kernel's software events tell of every fault as it begins, and of every major one once it has
//! ended. The first of these runs for all minor faults too, so this probe has its price and is off
//! unless it is asked for.
#![no_std]
#![no_main]

use aya_ebpf::{
    btf_maps::{Array, HashMap},
    helpers::bpf_ktime_get_ns,
    macros::{btf_map, perf_event},
    programs::PerfEventContext,
};
use monitor_common::{
    faults::{Faults, HostBank, Loss, STARTS, Start},
    hist,
    key::{BANKS, ProcessKey},
};
use monitor_ebpf::{
    atomic, bank, histogram,
    kernel::Task,
    process,
    slow::{self, Measured, SlowRing},
    table,
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// By the low bits of the thread id.
#[btf_map]
static BEGUN: Array<Start, STARTS> = Array::new();
/// By process; userspace empties it once a tick.
#[btf_map]
static FAULTS: HashMap<ProcessKey, Faults, 1024> = HashMap::new();
/// By bank.
#[btf_map]
static HOST: Array<HostBank, BANKS> = Array::new();
/// Slow ones; userspace empties it once a tick.
#[btf_map]
static EVENTS: SlowRing = SlowRing::new();

/// The first value of an entry of [`FAULTS`].
static NOTHING: Faults = Faults::EMPTY;

/// The running thread begins a fault of either kind.
#[perf_event]
pub fn fault_begin(_: PerfEventContext) -> u32 {
    let task = Task::current();
    if let Some(start) = BEGUN.get_ptr_mut(task.pid() & (STARTS as u32 - 1)) {
        // SAFETY: a map value. Should two threads share the slot, the end of one of them finds the
        // other's address and is counted as lost.
        unsafe {
            (*start).owner = task.address();
            (*start).begin = bpf_ktime_get_ns();
        }
    }
    0
}

/// A major fault of the running thread has ended.
#[perf_event]
pub fn major_fault_end(_: PerfEventContext) -> u32 {
    let task = Task::current();
    let bank = bank::active();
    let Some(start) = BEGUN.get_ptr_mut(task.pid() & (STARTS as u32 - 1)) else { return 0 };
    // SAFETY: map values.
    unsafe {
        let begin = (*start).begin;
        if (*start).owner != task.address() || begin == 0 {
            return lost(bank, Loss::Unmatched);
        }
        (*start).begin = 0;
        let ns = bpf_ktime_get_ns().wrapping_sub(begin);
        let Some(slot) = histogram::slot_of(ns) else { return lost(bank, Loss::Implausible) };
        // Both or neither, so that the groups add up to the host.
        let (Some(faults), Some(host)) = (faults(task, bank), HOST.get_ptr_mut(bank as u32)) else {
            return 0;
        };
        let coarse = hist::coarse(slot);
        histogram::add_shared(&raw mut (*faults).sum_ns, &raw mut (*faults).slots, coarse, ns);
        histogram::add_shared(&raw mut (*host).sum_ns, &raw mut (*host).slots, slot, ns);
        let measured = Measured { latency: 0, ns, ended: begin + ns };
        if slow::is_slow(ns) && !slow::tell_of(&EVENTS, task, measured, ()) {
            return lost(bank, Loss::RingFull);
        }
    }
    0
}

/// The entry of a thread's process.
#[inline(always)]
fn faults(task: Task, bank: usize) -> Option<*mut Faults> {
    let key = process::key(task.leader(), task.tgid(), bank);
    if let Some(entry) = table::entry(&FAULTS, &key, &NOTHING) {
        return Some(entry);
    }
    lost(bank, Loss::TableFull);
    FAULTS.get_ptr_mut(ProcessKey::other(bank as u16))
}

#[inline(always)]
fn lost(bank: usize, reason: Loss) -> u32 {
    if let Some(host) = HOST.get_ptr_mut(bank as u32) {
        // SAFETY: a map value, 8-byte aligned.
        unsafe { atomic::add(&raw mut (*host).lost[reason as usize], 1) };
    }
    0
}
