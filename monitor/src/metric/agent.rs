//! Metrics of the daemon itself.

use super::MetricDesc;

/// Every metric of this module.
pub const ALL: &[&MetricDesc] = &[];
