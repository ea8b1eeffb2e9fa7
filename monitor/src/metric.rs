//! The metric catalogue: the one table that says which metrics exist.
//!
//! Documentation, `monitor metrics`, exporters and dashboard checks derive from it. Names, units and
//! attributes of `system.*` metrics are those of the OpenTelemetry semantic conventions 1.44.

mod agent;
mod block;
mod cgroup;
mod export;
mod host;
mod memory;
mod process;
mod sched;
mod tcp;
mod udp;

pub use agent::*;
pub use block::*;
pub use cgroup::*;
pub use export::*;
pub use host::*;
pub use memory::*;
pub use process::*;
pub use sched::*;
pub use tcp::*;
pub use udp::*;

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

impl MetricDesc {
    /// Whether what a group has of it says how much the group matters: time on a CPU, and time waiting
    /// for a CPU, a disk, a connection, an answer or memory; of a container or unit, time for which it
    /// was held up.
    pub fn is_cost(&self) -> bool {
        match self.kind {
            Kind::Counter => self.unit == "s",
            Kind::Histogram => NO_COST.iter().all(|other| other.name != self.name),
            Kind::UpDownCounter | Kind::Gauge => false,
        }
    }
}

/// Durations that are no cost: threads are blocked that have nothing to do, and how far away the other
/// end of a connection is makes nobody wait.
const NO_COST: [&MetricDesc; 2] = [&PROCESS_OFFCPU_LATENCY, &PROCESS_TCP_RTT];

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

/// The metrics of each probe, by its name.
const BY_PROBE: &[(&str, &[&MetricDesc])] = &[
    ("sched", SCHED_ALL),
    ("block", BLOCK_ALL),
    ("tcp", TCP_ALL),
    ("process", PROCESS_ALL),
    ("memory", MEMORY_ALL),
    ("faults", FAULTS_ALL),
    ("cgroup", CGROUP_PROBE_ALL),
];

/// All metrics, in the order of the documentation.
pub fn catalogue() -> impl Iterator<Item = &'static MetricDesc> {
    let others = [CGROUP_ALL, HOST_ALL, AGENT_ALL, EXPORT_ALL];
    BY_PROBE.iter().map(|(_, metrics)| *metrics).chain(others).flatten().copied()
}

/// The metrics that a probe alone measures: without it they are absent.
pub fn of_probe(probe: &str) -> &'static [&'static MetricDesc] {
    BY_PROBE.iter().find(|(name, _)| *name == probe).map_or(&[], |(_, metrics)| metrics)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::PROBES;

    #[test]
    fn every_probe_has_metrics_and_they_are_of_a_probe() {
        assert!(PROBES.iter().map(|probe| probe.name).eq(BY_PROBE.iter().map(|(name, _)| *name)));
        assert!(PROBES.iter().all(|probe| !of_probe(probe.name).is_empty()));
    }

    /// Whoever adds another decides which it is.
    #[test]
    fn times_of_groups_are_a_cost_or_not() {
        let of_groups = |metric: &&MetricDesc| {
            let subject = metric.name.strip_prefix("monitor.").unwrap_or_default();
            metric.unit == "s" && ["process.", "cgroup."].iter().any(|it| subject.starts_with(it))
        };
        let (costs, others): (Vec<_>, Vec<_>) =
            catalogue().filter(of_groups).partition(|metric| metric.is_cost());
        let names = |metrics: Vec<&'static MetricDesc>| -> Vec<_> {
            metrics.into_iter().map(|metric| metric.name).collect()
        };
        assert_eq!(
            names(costs),
            [
                "monitor.process.cpu.time",
                "monitor.process.runqueue.latency",
                "monitor.process.cpu.throttled.latency",
                "monitor.process.block.queue.latency",
                "monitor.process.block.device.latency",
                "monitor.process.tcp.connect.latency",
                "monitor.process.tcp.accept.latency",
                "monitor.process.dns.latency",
                "monitor.process.memory.reclaim.latency",
                "monitor.process.memory.compaction.latency",
                "monitor.process.memory.fault.latency",
                "monitor.cgroup.cpu.throttled.time",
                "monitor.cgroup.pressure.time",
            ]
        );
        assert_eq!(names(others), ["monitor.process.offcpu.latency", "monitor.process.tcp.rtt"]);
    }
}
