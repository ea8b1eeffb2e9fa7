//! Maps of probes that measure stalls: what keeps a running thread in the kernel, from a beginning to an
//! end that are both seen in that thread.

use core::mem::offset_of;

use crate::{
    hist::{COARSE_SLOTS, FINE_SLOTS},
    named::named,
};

/// When a thread began each of a probe's `KINDS` of stalls.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Start<const KINDS: usize> {
    /// Address of its `task_struct`; of the thread that had the slot last, once it is done.
    pub owner: u64,
    /// In monotonic nanoseconds; 0 when it is not under way.
    pub begin: [u64; KINDS],
    /// What the kernel will have counted of them at the end of the last that began, so that the end of
    /// another is known by its number; 0 where the kernel does not count them.
    pub number: u64,
}

/// Slots for threads that are stalled at the same time, a power of two.
pub const STARTS: usize = 1 << 14;

/// Stalls in one bank, by kind.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Stalls<const KINDS: usize, const SLOTS: usize> {
    /// Latencies by slot.
    pub slots: [[u32; SLOTS]; KINDS],
    /// Exact sums in nanoseconds. They come after the slots: the verifier cannot tell that the last
    /// pair of those is not followed by another half.
    pub sums: [u64; KINDS],
}

impl<const KINDS: usize, const SLOTS: usize> Stalls<KINDS, SLOTS> {
    /// None.
    pub const EMPTY: Self = Self { slots: [[0; SLOTS]; KINDS], sums: [0; KINDS] };
}

/// Those of a process, see [`crate::hist::coarse`].
pub type ProcessStalls<const KINDS: usize> = Stalls<KINDS, COARSE_SLOTS>;

/// Those of the host.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HostBank<const KINDS: usize> {
    /// At scale 3, see [`crate::hist::slot`].
    pub stalls: Stalls<KINDS, FINE_SLOTS>,
    /// What was not measured, by [`Loss`].
    pub lost: [u64; Loss::COUNT],
}

impl<const KINDS: usize> HostBank<KINDS> {
    /// None, and nothing lost.
    pub const EMPTY: Self = Self { stalls: Stalls::EMPTY, lost: [0; Loss::COUNT] };
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

#[expect(unsafe_code, reason = "repr(C), and integers of 8 bytes behind whole pairs of 4")]
// SAFETY: the number of slots is even, so nothing is padded.
unsafe impl<const KINDS: usize> crate::Pod for ProcessStalls<KINDS> {}

#[expect(unsafe_code, reason = "repr(C), and no longer than what it is made of")]
// SAFETY: the same, and integers that are aligned as that is.
unsafe impl<const KINDS: usize> crate::Pod for HostBank<KINDS> {}

const _: () = assert!(size_of::<Start<3>>() == 8 * (1 + 3 + 1));
const _: () = assert!(FINE_SLOTS.is_multiple_of(2) && COARSE_SLOTS.is_multiple_of(2));
const _: () = assert!(size_of::<ProcessStalls<3>>() == 3 * (4 * COARSE_SLOTS + 8));
const _: () = assert!(offset_of!(ProcessStalls<3>, sums) == 3 * 4 * COARSE_SLOTS);
const _: () = assert!(size_of::<HostBank<3>>() == 3 * (4 * FINE_SLOTS + 8) + 8 * Loss::COUNT);
