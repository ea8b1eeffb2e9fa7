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
    help: "Run time of a BPF program: its overhead",
    details: "Absent unless the kernel's BPF statistics are on (`sysctl kernel.bpf_stats_enabled=1`).",
    source: "BPF program info",
    ..MetricDesc::BASE
};

/// Runs of BPF programs.
pub static AGENT_BPF_RUNS: MetricDesc = MetricDesc {
    name: "monitor.agent.bpf.runs",
    unit: "{run}",
    kind: Kind::Counter,
    attributes: &["monitor.probe", "monitor.program"],
    help: "Runs of a BPF program",
    details: "Absent unless the kernel's BPF statistics are on (`sysctl kernel.bpf_stats_enabled=1`).",
    source: "BPF program info",
    ..MetricDesc::BASE
};

/// Skipped runs of BPF programs.
pub static AGENT_BPF_RECURSION_MISSES: MetricDesc = MetricDesc {
    name: "monitor.agent.bpf.recursion_misses",
    unit: "{run}",
    kind: Kind::Counter,
    attributes: &["monitor.probe", "monitor.program"],
    help: "Skipped runs of a BPF program that was already running on the same CPU",
    details: "An event is not lost where a second program at the same tracepoint saw it: monitor.agent.lost counts \
              those that none saw.",
    source: "BPF program info",
    ..MetricDesc::BASE
};

/// Entries in maps.
pub static AGENT_MAP_ENTRIES: MetricDesc = MetricDesc {
    name: "monitor.agent.map.entries",
    unit: "{entry}",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.probe", "monitor.map"],
    help: "Entries in use of a BPF map that can be full",
    source: "counted at each tick",
    ..MetricDesc::BASE
};

/// Capacity of maps.
pub static AGENT_MAP_CAPACITY: MetricDesc = MetricDesc {
    name: "monitor.agent.map.capacity",
    unit: "{entry}",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.probe", "monitor.map"],
    help: "Maximum number of entries of a BPF map",
    source: "BPF map info",
    ..MetricDesc::BASE
};

/// Memory of maps.
pub static AGENT_MAP_SIZE: MetricDesc = MetricDesc {
    name: "monitor.agent.map.size",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.probe", "monitor.map"],
    help: "Kernel memory of a BPF map",
    details: "For task and socket storage, the number of values times the size of one.",
    source: "BPF map info",
    ..MetricDesc::BASE
};

/// Duration of ticks.
pub static AGENT_TICK_DURATION: MetricDesc = MetricDesc {
    name: "monitor.agent.tick.duration",
    unit: "s",
    kind: Kind::Gauge,
    help: "Duration of the last tick, from the switch of banks to the published values",
    source: "the daemon's clock",
    ..MetricDesc::BASE
};

/// State of probes.
pub static AGENT_PROBE_STATE: MetricDesc = MetricDesc {
    name: "monitor.agent.probe.state",
    unit: "{probe}",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.probe", "monitor.probe.state"],
    help: "State of a probe: 1 for the current one of active, degraded, failed and disabled",
    source: "what came of the probe's hooks",
    ..MetricDesc::BASE
};

/// The loss ledger.
pub static AGENT_LOST: MetricDesc = MetricDesc {
    name: "monitor.agent.lost",
    unit: "{event}",
    kind: Kind::Counter,
    attributes: &["monitor.probe", "monitor.loss.reason"],
    help: "Dropped, suppressed or misattributed events; 0 if none",
    source: "counted where each loss happens",
    ..MetricDesc::BASE
};

/// Self-audit.
pub static AGENT_AUDIT_RATIO: MetricDesc = MetricDesc {
    name: "monitor.agent.audit.ratio",
    // Of unit 1 it would be called `ratio_ratio` in Prometheus.
    unit: "{ratio}",
    kind: Kind::Gauge,
    attributes: &["monitor.probe", "monitor.audit.counter", "system.device"],
    help: "Growth of a count divided by the growth of the kernel's own counter, in the last audit round",
    details: "Absent where the kernel counted nothing.",
    source: "/proc/stat, schedstat, diskstats and vmstat, and netstat, snmp and snmp6 of each network namespace, read \
             around the end of a tick about once a minute",
    ..MetricDesc::BASE
};

/// Age of the readings of cgroups.
pub static AGENT_CGROUP_READING_AGE: MetricDesc = MetricDesc {
    name: "monitor.agent.cgroup.reading.age",
    unit: "s",
    kind: Kind::Gauge,
    help: "Age of the last reading of the CPU throttling and PSI files of cgroups",
    source: "the daemon's clock",
    ..MetricDesc::BASE
};

/// Expiry of certificates.
pub static AGENT_CERTIFICATE_TIME_TO_EXPIRY: MetricDesc = MetricDesc {
    name: "monitor.agent.certificate.time_to_expiry",
    unit: "s",
    kind: Kind::Gauge,
    attributes: &["monitor.config.key", "file.path"],
    help: "Time until the first certificate of a chain in use expires, negative when expired",
    source: "the certificates in the files of tls.certificate and otlp.tls.certificate, and the wall clock",
    ..MetricDesc::BASE
};

/// Aborted HTTP connections.
pub static HTTP_ABORTED: MetricDesc = MetricDesc {
    name: "monitor.agent.http.aborted",
    unit: "{connection}",
    kind: Kind::Counter,
    attributes: &["error.type"],
    help: "HTTP connections aborted by the daemon",
    details: "`error.type` is `timeout`, `slow`, `limit` (the scraper's timeout) or `slots` (too many slow clients).",
    source: "counted where connections are served",
    ..MetricDesc::BASE
};
