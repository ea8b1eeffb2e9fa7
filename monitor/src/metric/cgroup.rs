//! Metrics of containers and units that their cgroups keep.

use super::{Kind, MetricDesc};

/// The metrics of the `cgroup` probe.
pub(super) const CGROUP_PROBE_ALL: &[&MetricDesc] = &[&CGROUP_CREATIONS];

/// The metrics that are read from files.
pub(super) const CGROUP_ALL: &[&MetricDesc] = &[
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
    help: "Periods of the CPU quota of a container or unit in which it had something to run; 0 \
           without a quota",
    source: "nr_periods in the cgroup's cpu.stat, read 1 to 15 s apart, and at tp_btf/cgroup_rmdir",
};

/// Periods in which the quota was used up.
pub static CGROUP_CPU_THROTTLED_PERIODS: MetricDesc = MetricDesc {
    name: "monitor.cgroup.cpu.throttled.periods",
    unit: "{period}",
    kind: Kind::Counter,
    attributes: &["container.id", "container.name", "systemd.unit"],
    help: "Periods in which a container or unit had used up its CPU quota and was kept from running",
    source: "nr_throttled in the cgroup's cpu.stat",
};

/// Time for which the quota was used up.
pub static CGROUP_CPU_THROTTLED_TIME: MetricDesc = MetricDesc {
    name: "monitor.cgroup.cpu.throttled.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["container.id", "container.name", "systemd.unit"],
    help: "Time for which a container or unit was kept from running as it had used up its CPU quota, \
           added up over CPUs",
    source: "throttled_time or throttled_usec in the cgroup's cpu.stat",
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
    help: "Time in which at least one task (some) or all tasks that had work (full) of a container or \
           unit were stalled for want of the resource",
    source: "cpu.pressure, io.pressure and memory.pressure of the cgroup, version 2 only, read 1 to 15 s \
             apart; what follows the last reading of a cgroup is not counted",
};

/// Cgroups created.
pub static CGROUP_CREATIONS: MetricDesc = MetricDesc {
    name: "monitor.cgroup.creations",
    unit: "{cgroup}",
    kind: Kind::Counter,
    attributes: &[],
    help: "Cgroups created on the host, in the hierarchy of containers and units",
    source: "tp_btf/cgroup_mkdir",
};
