//! `faults`: how long threads wait for pages that have to be read from a disk.
//!
//! The kernel's software events tell of every fault as it begins, and of every major one once it has
//! ended. The first of these runs for all minor faults too, so this probe has its price and is off
//! unless it is asked for.
#![no_std]
#![no_main]

use aya_ebpf::{
    btf_maps::HashMap,
    macros::{btf_map, perf_event},
    programs::PerfEventContext,
};
use monitor_common::{
    faults::{Faults, LATENCIES},
    key::ProcessKey,
    stall::Loss,
};
use monitor_ebpf::{kernel::Task, slow::SlowRing, stall, table};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[btf_map]
static BEGUN: stall::Begun<LATENCIES> = stall::Begun::new();
/// By process; userspace empties it once a tick.
#[btf_map]
static FAULTS: HashMap<ProcessKey, Faults, 1024> = HashMap::new();
#[btf_map]
static HOST: stall::Host<LATENCIES> = stall::Host::new();
/// Slow ones; userspace empties it once a tick.
#[btf_map]
static EVENTS: SlowRing = SlowRing::new();

/// The first value of an entry of [`FAULTS`].
static NOTHING: Faults = Faults::EMPTY;

/// The running thread begins a fault of either kind. No end of a minor one will be seen, so the next
/// fault of the thread begins anew.
#[perf_event]
pub fn fault_begin(_: PerfEventContext) -> u32 {
    stall::begin(&BEGUN, 0, faults().wrapping_add(1));
    0
}

/// A major fault of the running thread has ended, and was counted.
#[perf_event]
pub fn major_fault_end(_: PerfEventContext) -> u32 {
    stall::end((&BEGUN, &HOST, &EVENTS), (0, faults()), |process, bank| {
        let key = ProcessKey { bank: bank as u16, ..*process };
        table::entry(&FAULTS, &key, &NOTHING, || {
            stall::lost(&HOST, bank, Loss::TableFull);
            ProcessKey::other(bank as u16)
        })
    });
    0
}

/// How many faults of the running thread have ended, so that one whose beginning was not seen is not taken
/// for the last that was: on a CPU that has just come online none is.
#[inline(always)]
fn faults() -> u64 {
    let task = Task::current();
    task.minor_faults().wrapping_add(task.major_faults())
}
