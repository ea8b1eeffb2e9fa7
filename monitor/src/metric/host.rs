//! Metrics of the host, by the names of the OpenTelemetry semantic conventions.

use super::MetricDesc;

/// Every metric of this module.
pub const ALL: &[&MetricDesc] = &[];
