//! Latencies that are worth telling one by one, beside being counted.

use core::ptr;

use monitor_common::{
    event::{Header, Kind, Slow},
    hist::MAX_NS,
    key::ProcessKey,
};

use crate::{
    events::{self, Ring},
    kernel::Task,
    process,
};

/// From how many nanoseconds on; written by userspace before loading.
#[unsafe(no_mangle)]
static SLOW_NS: u64 = u64::MAX;

/// Room for some hundred in a tick: what there are more of is a load, which the histograms show.
pub type SlowRing = Ring<{ 1 << 16 }>;

/// A latency that was measured.
#[derive(Clone, Copy)]
pub struct Measured {
    /// Which of the probe's it is, by its place.
    pub latency: usize,
    /// How long it was.
    pub ns: u64,
    /// When it ended, in monotonic nanoseconds.
    pub ended: u64,
}

/// Whether a latency is to be told. What is implausible is not counted, and not told either.
#[inline(always)]
pub fn is_slow(ns: u64) -> bool {
    // SAFETY: a valid static; volatile, as its value is set after compiling.
    ns >= unsafe { ptr::read_volatile(&raw const SLOW_NS) } && ns <= MAX_NS
}

/// Tells that a process waited, in its thread `tid` where that is known; false when there is no room.
#[inline(always)]
pub fn tell<S: 'static, const BYTES: usize>(
    ring: &Ring<BYTES>,
    (process, tid): (ProcessKey, u32),
    measured: Measured,
    subject: S,
) -> bool {
    const { assert!(size_of::<Slow<S>>() == size_of::<Slow<()>>() + size_of::<S>(), "padding") };
    let Measured { latency, ns, ended } = measured;
    let header = Header { kind: Kind::Slow as u32, parent: 0, time_ns: ended, key: process };
    let event = Slow { header, latency_ns: ns, latency: latency as u32, tid, subject };
    // A ring that is full must not have all CPUs wait for its lock.
    events::has_room(ring, size_of::<Slow<S>>()) && events::send(ring, event)
}

/// The same of a thread.
#[inline(always)]
pub fn tell_of<S: 'static, const BYTES: usize>(
    ring: &Ring<BYTES>,
    task: Task,
    measured: Measured,
    subject: S,
) -> bool {
    tell(ring, (process::of(task), task.pid()), measured, subject)
}
