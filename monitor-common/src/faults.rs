//! Maps of the `faults` probe.

use core::mem::offset_of;

use crate::{
    hist::{COARSE_SLOTS, FINE_SLOTS},
    named::named,
};

/// When a thread began its last fault.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Start {
    /// Address of its `task_struct`.
    pub owner: u64,
    /// In monotonic nanoseconds; 0 once it has ended as a major one.
    pub begin: u64,
}

/// Slots for threads that fault at the same time, a power of two.
pub const STARTS: usize = 1 << 14;

/// The major faults of a process in one bank.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Latencies by slot, see [`crate::hist::coarse`].
    pub slots: [u32; COARSE_SLOTS],
    /// Their exact sum in nanoseconds. It comes after the slots: the verifier cannot tell that the last
    /// pair of those is not followed by another half.
    pub sum_ns: u64,
}

impl Faults {
    /// None.
    pub const EMPTY: Self = Self { slots: [0; COARSE_SLOTS], sum_ns: 0 };
}

/// The major faults of the host in one bank.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HostBank {
    /// Latencies by slot at scale 3, see [`crate::hist::slot`].
    pub slots: [u32; FINE_SLOTS],
    /// Their exact sum in nanoseconds, after the slots as in [`Faults`].
    pub sum_ns: u64,
    /// What was not measured, by [`Loss`].
    pub lost: [u64; Loss::COUNT],
}

impl HostBank {
    /// None.
    pub const EMPTY: Self = Self { slots: [0; FINE_SLOTS], sum_ns: 0, lost: [0; Loss::COUNT] };
}

named! {
    /// Why a fault was not counted, or not where it belongs.
    /// The names are the values of the attribute `monitor.loss.reason`.
    pub enum Loss {
        /// Its beginning was not seen, or another thread took its slot.
        Unmatched = "unmatched",
        /// Its duration was negative, or longer than [`crate::hist::MAX_NS`].
        Implausible = "implausible",
        /// The table was full, so it was counted for `(other)`.
        TableFull = "table_full",
        /// There was no room to tell of a slow one.
        RingFull = "ring_full",
    }
}

crate::pod!(Start, Faults, HostBank);

const _: () = assert!(size_of::<Start>() == 16);
const _: () = assert!(size_of::<Faults>() == 4 * COARSE_SLOTS + 8);
const _: () = assert!(size_of::<HostBank>() == 4 * FINE_SLOTS + 8 + 8 * Loss::COUNT);
const _: () = assert!(FINE_SLOTS.is_multiple_of(2) && COARSE_SLOTS.is_multiple_of(2));
const _: () = assert!(offset_of!(Faults, sum_ns) == 4 * COARSE_SLOTS);
