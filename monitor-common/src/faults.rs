//! Maps of the `faults` probe.

use crate::stall;

/// There is one kind of major faults.
pub const LATENCIES: usize = 1;

/// The major faults of a process in one bank.
pub type Faults = stall::ProcessStalls<LATENCIES>;

/// The major faults of the host in one bank.
pub type HostBank = stall::HostBank<LATENCIES>;
