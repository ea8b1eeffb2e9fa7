//! Metrics of the host as a whole, by the names of the OpenTelemetry semantic conventions 1.44; others are
//! `monitor.host.*`.

use super::{Kind, MetricDesc};

/// Every metric of this module.
pub(super) const HOST_ALL: &[&MetricDesc] = &[
    &SYSTEM_UPTIME,
    &SYSTEM_CPU_LOGICAL_COUNT,
    &SYSTEM_CPU_TIME,
    &SYSTEM_CPU_UTILIZATION,
    &HOST_LOAD_1M,
    &HOST_LOAD_5M,
    &HOST_LOAD_15M,
    &HOST_THREADS,
    &HOST_PRESSURE_TIME,
    &SYSTEM_MEMORY_LIMIT,
    &SYSTEM_MEMORY_USAGE,
    &SYSTEM_MEMORY_UTILIZATION,
    &SYSTEM_MEMORY_LINUX_AVAILABLE,
    &SYSTEM_MEMORY_LINUX_SHARED,
    &SYSTEM_MEMORY_LINUX_SLAB_USAGE,
    &SYSTEM_PAGING_USAGE,
    &SYSTEM_PAGING_UTILIZATION,
    &SYSTEM_PAGING_FAULTS,
    &SYSTEM_PAGING_OPERATIONS,
    &SYSTEM_PROCESS_COUNT,
];

/// Uptime.
pub static SYSTEM_UPTIME: MetricDesc = MetricDesc {
    name: "system.uptime",
    unit: "s",
    kind: Kind::Gauge,
    help: "Time since boot",
    source: "/proc/uptime",
    ..MetricDesc::BASE
};

/// Logical CPUs.
pub static SYSTEM_CPU_LOGICAL_COUNT: MetricDesc = MetricDesc {
    name: "system.cpu.logical.count",
    unit: "{cpu}",
    kind: Kind::UpDownCounter,
    help: "Online CPUs",
    source: "/proc/stat",
    ..MetricDesc::BASE
};

/// CPU time.
pub static SYSTEM_CPU_TIME: MetricDesc = MetricDesc {
    name: "system.cpu.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["cpu.logical_number", "cpu.mode"],
    help: "CPU time by mode",
    details: "Guest time is part of user time; `interrupt` is hard and soft interrupt time; `steal` is time that the \
              hypervisor gave to others.",
    source: "/proc/stat",
    ..MetricDesc::BASE
};

/// CPU utilisation.
pub static SYSTEM_CPU_UTILIZATION: MetricDesc = MetricDesc {
    name: "system.cpu.utilization",
    unit: "1",
    kind: Kind::Gauge,
    attributes: &["cpu.logical_number", "cpu.mode"],
    help: "CPU utilization by mode since the last tick",
    details: "The modes of a CPU sum to 1.",
    source: "/proc/stat",
    ..MetricDesc::BASE
};

/// Load of a minute.
pub static HOST_LOAD_1M: MetricDesc = MetricDesc {
    name: "monitor.host.load.1m",
    unit: "{thread}",
    kind: Kind::Gauge,
    help: "Load average over 1 minute: threads running, runnable or in uninterruptible sleep",
    source: "sysinfo (/proc/loadavg)",
    ..MetricDesc::BASE
};

/// Load of 5 minutes.
pub static HOST_LOAD_5M: MetricDesc = MetricDesc {
    name: "monitor.host.load.5m",
    unit: "{thread}",
    kind: Kind::Gauge,
    help: "Load average over 5 minutes: threads running, runnable or in uninterruptible sleep",
    source: "sysinfo (/proc/loadavg)",
    ..MetricDesc::BASE
};

/// Load of 15 minutes.
pub static HOST_LOAD_15M: MetricDesc = MetricDesc {
    name: "monitor.host.load.15m",
    unit: "{thread}",
    kind: Kind::Gauge,
    help: "Load average over 15 minutes: threads running, runnable or in uninterruptible sleep",
    source: "sysinfo (/proc/loadavg)",
    ..MetricDesc::BASE
};

/// Threads that run or wait for a disk.
pub static HOST_THREADS: MetricDesc = MetricDesc {
    name: "monitor.host.threads",
    unit: "{thread}",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.thread.state"],
    help: "Runnable threads, running ones included, and threads blocked on block I/O",
    source: "/proc/stat",
    ..MetricDesc::BASE
};

/// Pressure stall time.
pub static HOST_PRESSURE_TIME: MetricDesc = MetricDesc {
    name: "monitor.host.pressure.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["monitor.pressure.resource", "monitor.pressure.stall_type"],
    help: "Pressure stall time (PSI) of the host: some or all (full) tasks stalled on the resource",
    source: "/proc/pressure",
    ..MetricDesc::BASE
};

/// Memory.
pub static SYSTEM_MEMORY_LIMIT: MetricDesc = MetricDesc {
    name: "system.memory.limit",
    unit: "By",
    kind: Kind::UpDownCounter,
    help: "Total memory",
    source: "sysinfo (/proc/meminfo)",
    ..MetricDesc::BASE
};

/// Memory by state.
pub static SYSTEM_MEMORY_USAGE: MetricDesc = MetricDesc {
    name: "system.memory.usage",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &["system.memory.state"],
    help: "Memory by state",
    details: "`used` is total minus available, so the states overlap.",
    source: "sysinfo (/proc/meminfo); /proc/meminfo for cached and buffers",
    ..MetricDesc::BASE
};

/// Memory by state, as a share.
pub static SYSTEM_MEMORY_UTILIZATION: MetricDesc = MetricDesc {
    name: "system.memory.utilization",
    unit: "1",
    kind: Kind::Gauge,
    attributes: &["system.memory.state"],
    help: "Share of memory by state",
    details: "`used` is total minus available, so the states overlap.",
    source: "sysinfo (/proc/meminfo); /proc/meminfo for cached and buffers",
    ..MetricDesc::BASE
};

/// Available memory.
pub static SYSTEM_MEMORY_LINUX_AVAILABLE: MetricDesc = MetricDesc {
    name: "system.memory.linux.available",
    unit: "By",
    kind: Kind::UpDownCounter,
    help: "Memory available to new programs without swapping, estimated by the kernel",
    source: "sysinfo (/proc/meminfo)",
    ..MetricDesc::BASE
};

/// Shared memory.
pub static SYSTEM_MEMORY_LINUX_SHARED: MetricDesc = MetricDesc {
    name: "system.memory.linux.shared",
    unit: "By",
    kind: Kind::UpDownCounter,
    help: "Shared memory, mostly tmpfs",
    source: "/proc/meminfo",
    ..MetricDesc::BASE
};

/// Slab memory.
pub static SYSTEM_MEMORY_LINUX_SLAB_USAGE: MetricDesc = MetricDesc {
    name: "system.memory.linux.slab.usage",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &["system.memory.linux.slab.state"],
    help: "Slab memory of the kernel by state",
    source: "/proc/meminfo",
    ..MetricDesc::BASE
};

/// Swap.
pub static SYSTEM_PAGING_USAGE: MetricDesc = MetricDesc {
    name: "system.paging.usage",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &["system.paging.state"],
    help: "Swap space by state",
    source: "sysinfo (/proc/meminfo)",
    ..MetricDesc::BASE
};

/// Swap, as a share.
pub static SYSTEM_PAGING_UTILIZATION: MetricDesc = MetricDesc {
    name: "system.paging.utilization",
    unit: "1",
    kind: Kind::Gauge,
    attributes: &["system.paging.state"],
    help: "Share of swap space by state",
    details: "Absent without swap.",
    source: "sysinfo (/proc/meminfo)",
    ..MetricDesc::BASE
};

/// Page faults.
pub static SYSTEM_PAGING_FAULTS: MetricDesc = MetricDesc {
    name: "system.paging.faults",
    unit: "{fault}",
    kind: Kind::Counter,
    attributes: &["system.paging.fault.type"],
    help: "Minor and major page faults of the host",
    source: "/proc/vmstat",
    ..MetricDesc::BASE
};

/// Pages swapped.
pub static SYSTEM_PAGING_OPERATIONS: MetricDesc = MetricDesc {
    name: "system.paging.operations",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: &["system.paging.direction"],
    help: "Pages swapped in and out",
    source: "/proc/vmstat",
    ..MetricDesc::BASE
};

/// Processes by state.
pub static SYSTEM_PROCESS_COUNT: MetricDesc = MetricDesc {
    name: "system.process.count",
    unit: "{process}",
    kind: Kind::UpDownCounter,
    attributes: &["process.state"],
    help: "Processes by state of the thread-group leader",
    details: "Uninterruptible and idle kernel threads count as sleeping. Read every 15 s, less often with very many \
              processes.",
    source: "/proc/<pid>/stat",
    ..MetricDesc::BASE
};
