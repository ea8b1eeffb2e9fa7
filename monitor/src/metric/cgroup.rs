//! Metrics of containers and units that their cgroups keep.

use super::{Kind, MetricDesc};

/// The metrics of the `cgroup` probe.
pub(crate) const CGROUP_PROBE_ALL: &[&MetricDesc] = &[&CGROUP_CREATIONS];

/// The metrics that are read from files.
pub(crate) const CGROUP_ALL: &[&MetricDesc] = &[
    &CGROUP_CPU_PERIODS,
    &CGROUP_CPU_THROTTLED_PERIODS,
    &CGROUP_CPU_THROTTLED_TIME,
    &CGROUP_PRESSURE_TIME,
];

/// Periods of the CPU quota.
pub static CGROUP_CPU_PERIODS: MetricDesc = MetricDesc {
    name: "monitor.cgroup.cpu.periods",
    unit: "{period}",
    kind: Kind::Counter,
    attributes: &["container.id", "container.name", "systemd.unit"],
    help: "CPU quota periods in which the container or unit was runnable",
    details: "0 without a quota.",
    source: "nr_periods in the cgroup's cpu.stat, read 1 to 15 s apart, and at tp_btf/cgroup_rmdir",
    ..MetricDesc::BASE
};

/// Throttled periods of the CPU quota.
pub static CGROUP_CPU_THROTTLED_PERIODS: MetricDesc = MetricDesc {
    name: "monitor.cgroup.cpu.throttled.periods",
    unit: "{period}",
    kind: Kind::Counter,
    attributes: &["container.id", "container.name", "systemd.unit"],
    help: "CPU quota periods in which the container or unit was throttled",
    source: "nr_throttled in the cgroup's cpu.stat",
    ..MetricDesc::BASE
};

/// Throttled time.
pub static CGROUP_CPU_THROTTLED_TIME: MetricDesc = MetricDesc {
    name: "monitor.cgroup.cpu.throttled.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["container.id", "container.name", "systemd.unit"],
    help: "Time that the container or unit was throttled by its CPU quota, summed over CPUs",
    source: "throttled_time or throttled_usec in the cgroup's cpu.stat",
    is_cost: true,
    ..MetricDesc::BASE
};

/// Pressure on a container or unit.
pub static CGROUP_PRESSURE_TIME: MetricDesc = MetricDesc {
    name: "monitor.cgroup.pressure.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &[
        "container.id",
        "container.name",
        "systemd.unit",
        "monitor.pressure.resource",
        "monitor.pressure.stall_type",
    ],
    help: "Pressure stall time (PSI) of the container or unit: some or all (full) tasks stalled on the resource",
    details: "Cgroup v2 only. What follows the last reading of a cgroup that is removed is not counted.",
    source: "cpu.pressure, io.pressure and memory.pressure of the cgroup, read 1 to 15 s apart",
    is_cost: true,
    ..MetricDesc::BASE
};

/// Created cgroups.
pub static CGROUP_CREATIONS: MetricDesc = MetricDesc {
    name: "monitor.cgroup.creations",
    unit: "{cgroup}",
    kind: Kind::Counter,
    help: "Created cgroups, in the hierarchy of containers and units",
    source: "tp_btf/cgroup_mkdir",
    ..MetricDesc::BASE
};
