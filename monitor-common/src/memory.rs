//! Maps of the `memory` probe.

use crate::stall::{self, ProcessStalls};

/// Number of things that threads are kept with. What there is of each comes in arrays with their places.
pub const LATENCIES: usize = 3;
/// The place of reclaim as the host is short of memory.
pub const DIRECT: usize = 0;
/// The place of reclaim as a cgroup has reached its limit.
pub const MEMCG: usize = 1;
/// The place of compaction.
pub const COMPACTION: usize = 2;

/// What was counted of a process in one bank.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// With what it was kept.
    pub stalls: ProcessStalls<LATENCIES>,
    /// Times it was chosen to be killed.
    pub oom_kills: u64,
}

impl Kept {
    /// Nothing counted.
    pub const EMPTY: Self = Self { stalls: ProcessStalls::EMPTY, oom_kills: 0 };
}

/// What was counted of the host in one bank.
pub type HostBank = stall::HostBank<LATENCIES>;

crate::pod!(Kept);

const _: () = assert!(size_of::<Kept>() == size_of::<ProcessStalls<LATENCIES>>() + 8);
