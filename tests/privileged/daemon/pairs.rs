//! Which metrics of groups add up to which of the host.

use monitor::{
    export::name::{label_name, metric_name},
    metric::{self, Kind, MetricDesc, catalogue},
};

/// A metric of groups, and the one of the host that it is a part of.
type Part = (&'static MetricDesc, &'static MetricDesc);

/// All there are.
const PARTS: &[Part] = &[
    (&metric::PROCESS_RUNQUEUE_LATENCY, &metric::SCHED_RUNQUEUE_LATENCY),
    (&metric::PROCESS_OFFCPU_LATENCY, &metric::SCHED_OFFCPU_LATENCY),
    (&metric::PROCESS_BLOCK_QUEUE_LATENCY, &metric::BLOCK_QUEUE_LATENCY),
    (&metric::PROCESS_BLOCK_DEVICE_LATENCY, &metric::BLOCK_DEVICE_LATENCY),
    (&metric::PROCESS_BLOCK_IO, &metric::BLOCK_IO),
    (&metric::PROCESS_BLOCK_OPERATIONS, &metric::BLOCK_OPERATIONS),
    (&metric::PROCESS_BLOCK_ERRORS, &metric::BLOCK_ERRORS),
    (&metric::PROCESS_TCP_CONNECT_LATENCY, &metric::TCP_CONNECT_LATENCY),
    (&metric::PROCESS_TCP_ACCEPT_LATENCY, &metric::TCP_ACCEPT_LATENCY),
    (&metric::PROCESS_TCP_RTT, &metric::TCP_RTT),
    (&metric::PROCESS_TCP_IO, &metric::TCP_IO),
    (&metric::PROCESS_TCP_RETRANSMITS, &metric::TCP_RETRANSMITS),
    (&metric::PROCESS_TCP_RESETS, &metric::TCP_RESETS),
    (&metric::PROCESS_TCP_OPENED, &metric::TCP_OPENED),
    (&metric::PROCESS_TCP_CLOSED, &metric::TCP_CLOSED),
    (&metric::PROCESS_TCP_FAILED, &metric::TCP_FAILED),
    (&metric::PROCESS_DNS_LATENCY, &metric::DNS_LATENCY),
    (&metric::PROCESS_DNS_QUESTIONS, &metric::DNS_QUESTIONS),
    (&metric::PROCESS_DNS_TIMEOUTS, &metric::DNS_TIMEOUTS),
    (&metric::PROCESS_MEMORY_RECLAIM_LATENCY, &metric::MEMORY_RECLAIM_LATENCY),
    (&metric::PROCESS_MEMORY_COMPACTION_LATENCY, &metric::MEMORY_COMPACTION_LATENCY),
    (&metric::PROCESS_MEMORY_FAULT_LATENCY, &metric::MEMORY_FAULT_LATENCY),
];

/// Such metrics by their names in Prometheus.
pub(crate) struct Pair {
    pub(crate) of_groups: String,
    pub(crate) of_host: String,
    pub(crate) is_histogram: bool,
    /// Labels that both have: the groups add up for each of their values.
    pub(crate) shared: Vec<String>,
}

/// All there are.
pub(crate) fn pairs() -> impl Iterator<Item = Pair> {
    PARTS.iter().map(|(group, host)| {
        let shared = group.attributes.iter().filter(|name| host.attributes.contains(name));
        Pair {
            of_groups: metric_name(group),
            of_host: metric_name(host),
            is_histogram: host.kind == Kind::Histogram,
            shared: shared.map(|name| label_name(name)).collect(),
        }
    })
}

/// `monitor.process.block.io` is a part of `monitor.block.io`, and so is everything that is named so.
#[test]
fn every_part_is_in_the_list() {
    let counts = |metric: &MetricDesc| matches!(metric.kind, Kind::Counter | Kind::Histogram);
    for group in catalogue().filter(|metric| counts(metric)) {
        let Some(rest) = group.name.strip_prefix("monitor.process.") else { continue };
        let host = format!("monitor.{rest}");
        let Some(host) = catalogue().find(|metric| metric.name == host) else { continue };
        let is_listed =
            PARTS.iter().any(|pair| (pair.0.name, pair.1.name) == (group.name, host.name));
        assert!(is_listed, "{} and {} are not in the list", group.name, host.name);
    }
    for (group, host) in PARTS {
        assert!(group.kind == host.kind && counts(group), "{} and {}", group.name, host.name);
        assert!(group.name.starts_with("monitor.process."), "{}", group.name);
        assert!(!host.name.starts_with("monitor.process."), "{}", host.name);
    }
}
