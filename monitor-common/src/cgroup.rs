//! Maps of the `cgroup` probe.

use crate::named::named;

/// Bytes of a cgroup's path that are read, with its terminating zero: as many as the kernel's
/// tracepoints have.
pub const PATH_LEN: usize = 1024;

/// A cgroup was created.
pub const CREATED: u32 = 1;
/// A cgroup was removed.
pub const REMOVED: u32 = 2;

/// CPU quota counters of a cgroup.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Throttling {
    /// Periods that have elapsed.
    pub periods: u64,
    /// Periods in which it was throttled.
    pub throttled: u64,
    /// Throttled time in nanoseconds.
    pub throttled_ns: u64,
}

/// A cgroup was created or removed. Its path from the root of its hierarchy follows, without a
/// terminating zero.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Change {
    /// [`CREATED`] or [`REMOVED`]; anything else is not known here.
    pub kind: u32,
    /// Bytes of the path.
    pub path_len: u32,
    /// The id of the cgroup.
    pub id: u64,
    /// 1 if the CPU controller is on and `throttling` was read, which is done at removal.
    pub has_throttling: u64,
    /// Its last counters.
    pub throttling: Throttling,
}

named! {
    /// Why a change of a cgroup was not reported.
    /// The names are the values of the attribute `monitor.loss.reason`.
    pub enum Loss {
        /// The ring buffer was full.
        RingFull = "ring_full",
        /// The path was longer than the kernel's tracepoints have room for.
        PathTooLong = "path_too_long",
    }
}

/// What happened in one bank.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Cgroups created.
    pub created: u64,
    /// Changes that were not reported, by [`Loss`].
    pub lost: [u64; Loss::COUNT],
}

crate::pod!(Change, Counts);

const _: () = assert!(PATH_LEN.is_power_of_two());
const _: () = assert!(size_of::<Throttling>() == 24);
const _: () = assert!(size_of::<Change>() == 24 + 24);
const _: () = assert!(size_of::<Counts>() == 8 + 8 * Loss::COUNT);
