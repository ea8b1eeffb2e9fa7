//! The metric catalogue: the one table that says which metrics exist.
//!
//! Documentation, `monitor metrics`, exporters and dashboard checks derive from it. Names, units and
//! attributes of `system.*` metrics are those of the OpenTelemetry semantic conventions 1.44.

mod agent;
mod host;
mod sched;

pub use agent::*;
pub use host::*;
pub use sched::*;

/// A metric's name, unit, shape and meaning.
#[derive(Debug)]
pub struct MetricDesc {
    /// OpenTelemetry name.
    pub name: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// Shape.
    pub kind: Kind,
    /// Names of the attributes it can have, without those of its group.
    pub attributes: &'static [&'static str],
    /// What it says, in a sentence or two. No trailing period, as Prometheus help texts have none.
    pub help: &'static str,
    /// Where the number comes from.
    pub source: &'static str,
}

/// The shape of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A sum that grows and shrinks.
    UpDownCounter,
    /// A value that cannot be added up.
    Gauge,
    /// An exponential histogram of durations.
    Histogram,
}

/// All metrics, in the order of the documentation.
pub fn catalogue() -> impl Iterator<Item = &'static MetricDesc> {
    [SCHED_ALL, HOST_ALL, AGENT_ALL].into_iter().flatten().copied()
}
