//! Metrics of the host, by the names of the OpenTelemetry semantic conventions 1.44; what those do
//! not name is below `monitor.host`.

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
    &SYSTEM_DISK_IO,
    &SYSTEM_DISK_OPERATIONS,
    &SYSTEM_DISK_IO_TIME,
    &SYSTEM_DISK_OPERATION_TIME,
    &SYSTEM_DISK_MERGED,
    &DISK_IN_FLIGHT,
    &DISK_INFO,
    &SYSTEM_FILESYSTEM_LIMIT,
    &SYSTEM_FILESYSTEM_USAGE,
    &SYSTEM_FILESYSTEM_UTILIZATION,
    &SYSTEM_NETWORK_IO,
    &SYSTEM_NETWORK_PACKET_COUNT,
    &SYSTEM_NETWORK_PACKET_DROPPED,
    &SYSTEM_NETWORK_ERRORS,
    &SYSTEM_PROCESS_COUNT,
    &HW_TEMPERATURE,
    &HW_TEMPERATURE_LIMIT,
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
    details: "Guest time is part of user time; `interrupt` is hard and soft interrupt time; `steal` is time that the hypervisor gave to others.",
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

/// Disk bytes.
pub static SYSTEM_DISK_IO: MetricDesc = MetricDesc {
    name: "system.disk.io",
    unit: "By",
    kind: Kind::Counter,
    attributes: &["system.device", "disk.io.direction"],
    help: "Bytes read from and written to a block device",
    details: "Whole devices, not partitions. Stacked devices (md, dm) count the I/O of the disks below again.",
    source: "/proc/diskstats",
    ..MetricDesc::BASE
};

/// Disk operations.
pub static SYSTEM_DISK_OPERATIONS: MetricDesc = MetricDesc {
    name: "system.disk.operations",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: &["system.device", "disk.io.direction"],
    help: "Completed reads and writes of a block device",
    source: "/proc/diskstats",
    ..MetricDesc::BASE
};

/// Disk activity.
pub static SYSTEM_DISK_IO_TIME: MetricDesc = MetricDesc {
    name: "system.disk.io_time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["system.device"],
    help: "Time that a block device was busy",
    source: "/proc/diskstats",
    ..MetricDesc::BASE
};

/// Disk queues.
pub static DISK_IN_FLIGHT: MetricDesc = MetricDesc {
    name: "monitor.disk.in_flight",
    unit: "{operation}",
    kind: Kind::UpDownCounter,
    attributes: &["system.device"],
    help: "I/O requests of a block device in flight",
    source: "/proc/diskstats",
    ..MetricDesc::BASE
};

/// Disks of devices.
pub static DISK_INFO: MetricDesc = MetricDesc {
    name: "monitor.disk.info",
    unit: "{device}",
    kind: Kind::Gauge,
    attributes: &["system.device", "monitor.disk", "monitor.device_mapper.name"],
    help: "Disk below a block device, always 1",
    details: "Partitions, dm and md devices have a series for each disk below them.",
    source: "/sys/class/block",
    ..MetricDesc::BASE
};

/// Disk waiting.
pub static SYSTEM_DISK_OPERATION_TIME: MetricDesc = MetricDesc {
    name: "system.disk.operation_time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["system.device", "disk.io.direction"],
    help: "Time of all I/O operations of a block device, summed",
    source: "/proc/diskstats",
    ..MetricDesc::BASE
};

/// Disk merges.
pub static SYSTEM_DISK_MERGED: MetricDesc = MetricDesc {
    name: "system.disk.merged",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: &["system.device", "disk.io.direction"],
    help: "Merged I/O operations of a block device",
    source: "/proc/diskstats",
    ..MetricDesc::BASE
};

/// File system size.
pub static SYSTEM_FILESYSTEM_LIMIT: MetricDesc = MetricDesc {
    name: "system.filesystem.limit",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &[
        "system.device",
        "system.filesystem.mode",
        "system.filesystem.mountpoint",
        "system.filesystem.type",
    ],
    help: "Size of a file system",
    details: "Read every 15 s.",
    source: "sysinfo for the list, statvfs",
    ..MetricDesc::BASE
};

/// File system space.
pub static SYSTEM_FILESYSTEM_USAGE: MetricDesc = MetricDesc {
    name: "system.filesystem.usage",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &[
        "system.device",
        "system.filesystem.mode",
        "system.filesystem.mountpoint",
        "system.filesystem.state",
        "system.filesystem.type",
    ],
    help: "File system space by state",
    details: "`free` is available to all users, `reserved` to root only. Read every 15 s.",
    source: "sysinfo for the list, statvfs",
    ..MetricDesc::BASE
};

/// File system space, as a share.
pub static SYSTEM_FILESYSTEM_UTILIZATION: MetricDesc = MetricDesc {
    name: "system.filesystem.utilization",
    unit: "1",
    kind: Kind::Gauge,
    attributes: &[
        "system.device",
        "system.filesystem.mode",
        "system.filesystem.mountpoint",
        "system.filesystem.state",
        "system.filesystem.type",
    ],
    help: "Share of file system space by state",
    details: "`free` is available to all users, `reserved` to root only. Read every 15 s.",
    source: "sysinfo for the list, statvfs",
    ..MetricDesc::BASE
};

/// Network bytes.
pub static SYSTEM_NETWORK_IO: MetricDesc = MetricDesc {
    name: "system.network.io",
    unit: "By",
    kind: Kind::Counter,
    attributes: &["network.interface.name", "network.io.direction"],
    help: "Bytes received and transmitted by a network interface",
    source: "/proc/1/net/dev",
    ..MetricDesc::BASE
};

/// Packets.
pub static SYSTEM_NETWORK_PACKET_COUNT: MetricDesc = MetricDesc {
    name: "system.network.packet.count",
    unit: "{packet}",
    kind: Kind::Counter,
    attributes: &["system.device", "network.io.direction"],
    help: "Packets received and transmitted by a network interface",
    source: "/proc/1/net/dev",
    ..MetricDesc::BASE
};

/// Packets dropped.
pub static SYSTEM_NETWORK_PACKET_DROPPED: MetricDesc = MetricDesc {
    name: "system.network.packet.dropped",
    unit: "{packet}",
    kind: Kind::Counter,
    attributes: &["network.interface.name", "network.io.direction"],
    help: "Packets dropped by a network interface without an error",
    source: "/proc/1/net/dev",
    ..MetricDesc::BASE
};

/// Network errors.
pub static SYSTEM_NETWORK_ERRORS: MetricDesc = MetricDesc {
    name: "system.network.errors",
    unit: "{error}",
    kind: Kind::Counter,
    attributes: &["network.interface.name", "network.io.direction"],
    help: "Receive and transmit errors of a network interface",
    source: "/proc/1/net/dev",
    ..MetricDesc::BASE
};

/// Processes by state.
pub static SYSTEM_PROCESS_COUNT: MetricDesc = MetricDesc {
    name: "system.process.count",
    unit: "{process}",
    kind: Kind::UpDownCounter,
    attributes: &["process.state"],
    help: "Processes by state of the thread-group leader",
    details: "Uninterruptible and idle kernel threads count as sleeping. Read every 15 s, less often with very many processes.",
    source: "/proc/<pid>/stat",
    ..MetricDesc::BASE
};

/// Temperature.
pub static HW_TEMPERATURE: MetricDesc = MetricDesc {
    name: "hw.temperature",
    unit: "Cel",
    kind: Kind::Gauge,
    attributes: &["hw.id", "hw.name"],
    help: "Temperature of a sensor",
    details: "Read every 15 s.",
    source: "sysinfo (/sys/class/hwmon or /sys/class/thermal)",
    ..MetricDesc::BASE
};

/// Critical temperature.
pub static HW_TEMPERATURE_LIMIT: MetricDesc = MetricDesc {
    name: "hw.temperature.limit",
    unit: "Cel",
    kind: Kind::Gauge,
    attributes: &["hw.id", "hw.limit_type", "hw.name"],
    help: "Critical temperature of a sensor, as its driver reports it",
    source: "sysinfo (/sys/class/hwmon)",
    ..MetricDesc::BASE
};
