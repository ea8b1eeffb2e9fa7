//! Maps of the `memory` probe.

use core::mem::offset_of;

use crate::{
    hist::{COARSE_SLOTS, FINE_SLOTS},
    named::named,
};

/// Number of things that threads are kept with. What there is of each comes in arrays with their places.
pub const LATENCIES: usize = 3;
/// The place of reclaim as the host is short of memory.
pub const DIRECT: usize = 0;
/// The place of reclaim as a cgroup has reached its limit.
pub const MEMCG: usize = 1;
/// The place of compaction.
pub const COMPACTION: usize = 2;

/// When a thread began what it is kept with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Address of its `task_struct`; of the thread that had the slot last, once it is done.
    pub owner: u64,
    /// In monotonic nanoseconds; 0 when it is not under way.
    pub begin: [u64; LATENCIES],
}

/// Slots for threads that are kept at the same time, a power of two.
pub const STARTS: usize = 1 << 14;

/// What was counted of a process in one bank.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Latencies by slot, see [`crate::hist::coarse`].
    pub slots: [[u32; COARSE_SLOTS]; LATENCIES],
    /// Exact sums in nanoseconds. They come after the slots: the verifier cannot tell that the last
    /// pair of those is not followed by another half.
    pub sums: [u64; LATENCIES],
    /// Times it was chosen to be killed.
    pub oom_kills: u64,
}

impl Kept {
    /// Nothing counted.
    pub const EMPTY: Self =
        Self { slots: [[0; COARSE_SLOTS]; LATENCIES], sums: [0; LATENCIES], oom_kills: 0 };
}

/// What was counted of the host in one bank.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HostBank {
    /// Latencies by slot at scale 3, see [`crate::hist::slot`].
    pub slots: [[u32; FINE_SLOTS]; LATENCIES],
    /// Exact sums in nanoseconds, after the slots as in [`Kept`].
    pub sums: [u64; LATENCIES],
    /// What was not measured, by [`Loss`].
    pub lost: [u64; Loss::COUNT],
}

impl HostBank {
    /// Nothing counted.
    pub const EMPTY: Self =
        Self { slots: [[0; FINE_SLOTS]; LATENCIES], sums: [0; LATENCIES], lost: [0; Loss::COUNT] };
}

named! {
    /// Why something was not counted, or not where it belongs, or not told as an event.
    /// The names are the values of the attribute `monitor.loss.reason`.
    pub enum Loss {
        /// An end whose beginning was not seen, or whose slot another thread took.
        Unmatched = "unmatched",
        /// A duration was negative, or longer than [`crate::hist::MAX_NS`].
        Implausible = "implausible",
        /// The table was full, so it was counted for `(other)`.
        TableFull = "table_full",
        /// The ring buffer was full, so an event was not sent.
        RingFull = "ring_full",
    }
}

crate::pod!(HostBank, Kept, Start);

const _: () = assert!(size_of::<Start>() == 8 * (1 + LATENCIES));
const _: () = assert!(size_of::<Kept>() == LATENCIES * (4 * COARSE_SLOTS + 8) + 8);
const _: () = assert!(size_of::<HostBank>() == LATENCIES * (4 * FINE_SLOTS + 8) + 8 * Loss::COUNT);
const _: () = assert!(FINE_SLOTS.is_multiple_of(2) && COARSE_SLOTS.is_multiple_of(2));
const _: () = assert!(offset_of!(Kept, sums) == LATENCIES * 4 * COARSE_SLOTS);
