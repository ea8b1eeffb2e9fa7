//! Metrics of the host, by the names of the OpenTelemetry semantic conventions.

use super::MetricDesc;

/// Every metric of this module.
pub(super) const ALL: &[&MetricDesc] = &[];
