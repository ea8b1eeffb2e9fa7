//! Latencies that are worth telling one by one, beside being counted.

use core::ptr;

use monitor_common::{
    event::{Kind, Slow},
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

/// Whether a latency is to be told.
#[inline(always)]
pub fn is_slow(ns: u64) -> bool {
    // SAFETY: a valid static; volatile, as its value is set after compiling.
    ns >= unsafe { ptr::read_volatile(&raw const SLOW_NS) }
}

/// Tells that a process waited, in its thread `tid` where that is known; false when there is no room.
#[inline(always)]
pub fn tell<S: 'static, const BYTES: usize>(
    ring: &Ring<BYTES>,
    (process, tid): (ProcessKey, u32),
    (latency, latency_ns): (usize, u64),
    subject: S,
) -> bool {
    let header = events::header(Kind::Slow, process, 0);
    // A ring that is full must not have all CPUs wait for its lock.
    events::has_room(ring, size_of::<Slow<S>>())
        && events::send(ring, Slow { header, latency_ns, latency: latency as u32, tid, subject })
}

/// The same of a thread.
#[inline(always)]
pub fn tell_of<S: 'static, const BYTES: usize>(
    ring: &Ring<BYTES>,
    task: Task,
    latency: (usize, u64),
    subject: S,
) -> bool {
    tell(ring, (process::of(task), task.pid()), latency, subject)
}
