//! Metrics of the daemon itself.

use super::{Kind, MetricDesc};

/// Every metric of this module.
pub(super) const AGENT_ALL: &[&MetricDesc] = &[
    &AGENT_BPF_TIME,
    &AGENT_BPF_RUNS,
    &AGENT_BPF_RECURSION_MISSES,
    &AGENT_MAP_ENTRIES,
    &AGENT_MAP_CAPACITY,
    &AGENT_MAP_SIZE,
    &AGENT_TICK_DURATION,
    &AGENT_PROBE_STATE,
    &AGENT_LOST,
    &AGENT_AUDIT_RATIO,
    &AGENT_CGROUP_READING_AGE,
    &AGENT_CERTIFICATE_TIME_TO_EXPIRY,
    &HTTP_ABORTED,
];

/// Time in BPF programs.
pub static AGENT_BPF_TIME: MetricDesc = MetricDesc {
    name: "monitor.agent.bpf.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["monitor.probe", "monitor.program"],
    help: "Time spent in a BPF program; only there while the kernel's BPF statistics are on",
    source: "BPF program info",
};

/// Runs of BPF programs.
pub static AGENT_BPF_RUNS: MetricDesc = MetricDesc {
    name: "monitor.agent.bpf.runs",
    unit: "{run}",
    kind: Kind::Counter,
    attributes: &["monitor.probe", "monitor.program"],
    help: "Times a BPF program ran; only there while the kernel's BPF statistics are on",
    source: "BPF program info",
};

/// Skipped runs of BPF programs.
pub static AGENT_BPF_RECURSION_MISSES: MetricDesc = MetricDesc {
    name: "monitor.agent.bpf.recursion_misses",
    unit: "{run}",
    kind: Kind::Counter,
    attributes: &["monitor.probe", "monitor.program"],
    help: "Skipped runs of a BPF program that was already running on that CPU",
    source: "BPF program info; no loss where a second program at the same tracepoint saw the event: \
             monitor.agent.lost counts what none saw",
};

/// Entries in maps.
pub static AGENT_MAP_ENTRIES: MetricDesc = MetricDesc {
    name: "monitor.agent.map.entries",
    unit: "{entry}",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.probe", "monitor.map"],
    help: "Entries in use in a BPF map, for maps that can be full",
    source: "counted at each tick",
};

/// Capacity of maps.
pub static AGENT_MAP_CAPACITY: MetricDesc = MetricDesc {
    name: "monitor.agent.map.capacity",
    unit: "{entry}",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.probe", "monitor.map"],
    help: "Entries a BPF map has room for",
    source: "BPF map info",
};

/// Memory of maps.
pub static AGENT_MAP_SIZE: MetricDesc = MetricDesc {
    name: "monitor.agent.map.size",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.probe", "monitor.map"],
    help: "Kernel memory of a BPF map",
    source: "BPF map info; for storage of tasks and sockets, how many there are times the size of one",
};

/// Duration of ticks.
pub static AGENT_TICK_DURATION: MetricDesc = MetricDesc {
    name: "monitor.agent.tick.duration",
    unit: "s",
    kind: Kind::Gauge,
    attributes: &[],
    help: "Time the last tick took from ending the banks to publishing the values",
    source: "the daemon's clock",
};

/// State of probes.
pub static AGENT_PROBE_STATE: MetricDesc = MetricDesc {
    name: "monitor.agent.probe.state",
    unit: "{probe}",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.probe", "monitor.probe.state"],
    help: "1 for the state a probe is in: active, degraded, failed or disabled",
    source: "what came of the probe's hooks",
};

/// The loss ledger.
pub static AGENT_LOST: MetricDesc = MetricDesc {
    name: "monitor.agent.lost",
    unit: "{event}",
    kind: Kind::Counter,
    attributes: &["monitor.probe", "monitor.loss.reason"],
    help: "Events that were not measured or not told, or not where they belong; 0 says that none were lost",
    source: "counted where each loss happens",
};

/// Self-audit.
pub static AGENT_AUDIT_RATIO: MetricDesc = MetricDesc {
    name: "monitor.agent.audit.ratio",
    // Of unit 1 it would be called `ratio_ratio` in Prometheus.
    unit: "{ratio}",
    kind: Kind::Gauge,
    attributes: &["monitor.probe", "monitor.audit.counter", "system.device"],
    help: "Growth of a count over the growth of the kernel's own counter, in the last audit round",
    source: "/proc/stat, schedstat, diskstats and vmstat, and netstat, snmp and snmp6 of each network namespace, \
             read around the end of a tick about once a minute; absent where the kernel counted nothing",
};

/// Age of the readings of cgroups.
pub static AGENT_CGROUP_READING_AGE: MetricDesc = MetricDesc {
    name: "monitor.agent.cgroup.reading.age",
    unit: "s",
    kind: Kind::Gauge,
    attributes: &[],
    help: "Age of the last reading of the CPU throttling and pressure files of cgroups",
    source: "the daemon's clock",
};

/// Expiry of certificates.
pub static AGENT_CERTIFICATE_TIME_TO_EXPIRY: MetricDesc = MetricDesc {
    name: "monitor.agent.certificate.time_to_expiry",
    unit: "s",
    kind: Kind::Gauge,
    attributes: &["monitor.config.key", "file.path"],
    help: "Time until the first certificate of a chain in use expires, negative afterwards",
    source: "the certificates in the files of tls.certificate and otlp.tls.certificate, and the wall clock",
};

/// Aborted HTTP connections.
pub static HTTP_ABORTED: MetricDesc = MetricDesc {
    name: "monitor.agent.http.aborted",
    unit: "{connection}",
    kind: Kind::Counter,
    attributes: &["error.type"],
    help: "HTTP connections closed by the daemon: timeout, slow, limit (the scraper's timeout) or slots (too many slow ones)",
    source: "counted where connections are served",
};
