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
    attributes: &[],
    help: "Time since the host was started",
    source: "/proc/uptime",
};

/// Logical CPUs.
pub static SYSTEM_CPU_LOGICAL_COUNT: MetricDesc = MetricDesc {
    name: "system.cpu.logical.count",
    unit: "{cpu}",
    kind: Kind::UpDownCounter,
    attributes: &[],
    help: "CPUs that are online",
    source: "/proc/stat",
};

/// CPU time.
pub static SYSTEM_CPU_TIME: MetricDesc = MetricDesc {
    name: "system.cpu.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["cpu.logical_number", "cpu.mode"],
    help: "Time a CPU spent in each mode; guests count as user time, interrupt is hard and soft \
           interrupts",
    source: "/proc/stat",
};

/// CPU utilisation.
pub static SYSTEM_CPU_UTILIZATION: MetricDesc = MetricDesc {
    name: "system.cpu.utilization",
    unit: "1",
    kind: Kind::Gauge,
    attributes: &["cpu.logical_number", "cpu.mode"],
    help: "Share of a CPU's time in each mode since the last tick; the modes of a CPU add up to 1",
    source: "/proc/stat",
};

/// Load of a minute.
pub static HOST_LOAD_1M: MetricDesc = MetricDesc {
    name: "monitor.host.load.1m",
    unit: "{thread}",
    kind: Kind::Gauge,
    attributes: &[],
    help: "Threads that run, want to run or are in uninterruptible sleep, averaged over a minute",
    source: "sysinfo (/proc/loadavg)",
};

/// Load of 5 minutes.
pub static HOST_LOAD_5M: MetricDesc = MetricDesc {
    name: "monitor.host.load.5m",
    unit: "{thread}",
    kind: Kind::Gauge,
    attributes: &[],
    help: "Threads that run, want to run or are in uninterruptible sleep, averaged over 5 minutes",
    source: "sysinfo (/proc/loadavg)",
};

/// Load of 15 minutes.
pub static HOST_LOAD_15M: MetricDesc = MetricDesc {
    name: "monitor.host.load.15m",
    unit: "{thread}",
    kind: Kind::Gauge,
    attributes: &[],
    help: "Threads that run, want to run or are in uninterruptible sleep, averaged over 15 minutes",
    source: "sysinfo (/proc/loadavg)",
};

/// Threads that run or wait for a disk.
pub static HOST_THREADS: MetricDesc = MetricDesc {
    name: "monitor.host.threads",
    unit: "{thread}",
    kind: Kind::UpDownCounter,
    attributes: &["monitor.thread.state"],
    help: "Threads that run or want to run (runnable) and that wait for block I/O (blocked), at \
           this moment",
    source: "/proc/stat",
};

/// Pressure stall time.
pub static HOST_PRESSURE_TIME: MetricDesc = MetricDesc {
    name: "monitor.host.pressure.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["monitor.pressure.resource", "monitor.pressure.stall_type"],
    help: "Time in which at least one task (some) or all tasks that had work (full) were stalled \
           for want of the resource",
    source: "/proc/pressure",
};

/// Memory.
pub static SYSTEM_MEMORY_LIMIT: MetricDesc = MetricDesc {
    name: "system.memory.limit",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &[],
    help: "Memory of the host",
    source: "sysinfo (/proc/meminfo)",
};

/// Memory by state.
pub static SYSTEM_MEMORY_USAGE: MetricDesc = MetricDesc {
    name: "system.memory.usage",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &["system.memory.state"],
    help: "Memory by state; used is what is not available to new programs, so the states overlap",
    source: "sysinfo (/proc/meminfo); /proc/meminfo for cached and buffers",
};

/// Memory by state, as a share.
pub static SYSTEM_MEMORY_UTILIZATION: MetricDesc = MetricDesc {
    name: "system.memory.utilization",
    unit: "1",
    kind: Kind::Gauge,
    attributes: &["system.memory.state"],
    help: "Share of memory by state; used is what is not available to new programs, so the states \
           overlap",
    source: "sysinfo (/proc/meminfo); /proc/meminfo for cached and buffers",
};

/// Available memory.
pub static SYSTEM_MEMORY_LINUX_AVAILABLE: MetricDesc = MetricDesc {
    name: "system.memory.linux.available",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &[],
    help: "Memory that new programs can have without swapping, as the kernel estimates it",
    source: "sysinfo (/proc/meminfo)",
};

/// Shared memory.
pub static SYSTEM_MEMORY_LINUX_SHARED: MetricDesc = MetricDesc {
    name: "system.memory.linux.shared",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &[],
    help: "Shared memory, mostly that of tmpfs",
    source: "/proc/meminfo",
};

/// Slab memory.
pub static SYSTEM_MEMORY_LINUX_SLAB_USAGE: MetricDesc = MetricDesc {
    name: "system.memory.linux.slab.usage",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &["system.memory.linux.slab.state"],
    help: "Memory of the kernel's caches of objects",
    source: "/proc/meminfo",
};

/// Swap.
pub static SYSTEM_PAGING_USAGE: MetricDesc = MetricDesc {
    name: "system.paging.usage",
    unit: "By",
    kind: Kind::UpDownCounter,
    attributes: &["system.paging.state"],
    help: "Swap space by state",
    source: "sysinfo (/proc/meminfo)",
};

/// Swap, as a share.
pub static SYSTEM_PAGING_UTILIZATION: MetricDesc = MetricDesc {
    name: "system.paging.utilization",
    unit: "1",
    kind: Kind::Gauge,
    attributes: &["system.paging.state"],
    help: "Share of swap space by state; absent without swap",
    source: "sysinfo (/proc/meminfo)",
};

/// Page faults.
pub static SYSTEM_PAGING_FAULTS: MetricDesc = MetricDesc {
    name: "system.paging.faults",
    unit: "{fault}",
    kind: Kind::Counter,
    attributes: &["system.paging.fault.type"],
    help: "Page faults",
    source: "/proc/vmstat",
};

/// Pages swapped.
pub static SYSTEM_PAGING_OPERATIONS: MetricDesc = MetricDesc {
    name: "system.paging.operations",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: &["system.paging.direction"],
    help: "Pages swapped in and out",
    source: "/proc/vmstat",
};

/// Disk bytes.
pub static SYSTEM_DISK_IO: MetricDesc = MetricDesc {
    name: "system.disk.io",
    unit: "By",
    kind: Kind::Counter,
    attributes: &["system.device", "disk.io.direction"],
    help: "Bytes read from and written to a whole block device; stacked devices (md, dm) count \
           again what the disks below them do",
    source: "/proc/diskstats",
};

/// Disk operations.
pub static SYSTEM_DISK_OPERATIONS: MetricDesc = MetricDesc {
    name: "system.disk.operations",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: &["system.device", "disk.io.direction"],
    help: "Reads and writes that a whole block device completed",
    source: "/proc/diskstats",
};

/// Disk activity.
pub static SYSTEM_DISK_IO_TIME: MetricDesc = MetricDesc {
    name: "system.disk.io_time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["system.device"],
    help: "Time in which a block device had anything to do",
    source: "/proc/diskstats",
};

/// Disk queues.
pub static DISK_IN_FLIGHT: MetricDesc = MetricDesc {
    name: "monitor.disk.in_flight",
    unit: "{operation}",
    kind: Kind::UpDownCounter,
    attributes: &["system.device"],
    help: "Requests to a block device that were made and have not ended",
    source: "/proc/diskstats",
};

/// Disks of devices.
pub static DISK_INFO: MetricDesc = MetricDesc {
    name: "monitor.disk.info",
    unit: "{device}",
    kind: Kind::Gauge,
    attributes: &["system.device", "monitor.disk", "monitor.device_mapper.name"],
    help: "Disk that a block device is on, always 1; partitions, dm and md devices lead to each disk below them",
    source: "/sys/class/block",
};

/// Disk waiting.
pub static SYSTEM_DISK_OPERATION_TIME: MetricDesc = MetricDesc {
    name: "system.disk.operation_time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &["system.device", "disk.io.direction"],
    help: "Time that the operations of a block device took, added up",
    source: "/proc/diskstats",
};

/// Disk merges.
pub static SYSTEM_DISK_MERGED: MetricDesc = MetricDesc {
    name: "system.disk.merged",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: &["system.device", "disk.io.direction"],
    help: "Operations that were merged into others",
    source: "/proc/diskstats",
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
    help: "Size of a file system. Read every 15 s",
    source: "sysinfo for the list, statvfs",
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
    help: "Space of a file system; free is for anybody to take, reserved for root alone. Read \
           every 15 s",
    source: "sysinfo for the list, statvfs",
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
    help: "Share of a file system's space; free is for anybody to take, reserved for root alone. \
           Read every 15 s",
    source: "sysinfo for the list, statvfs",
};

/// Network bytes.
pub static SYSTEM_NETWORK_IO: MetricDesc = MetricDesc {
    name: "system.network.io",
    unit: "By",
    kind: Kind::Counter,
    attributes: &["network.interface.name", "network.io.direction"],
    help: "Bytes received and transmitted by an interface of the host",
    source: "/proc/1/net/dev",
};

/// Packets.
pub static SYSTEM_NETWORK_PACKET_COUNT: MetricDesc = MetricDesc {
    name: "system.network.packet.count",
    unit: "{packet}",
    kind: Kind::Counter,
    attributes: &["system.device", "network.io.direction"],
    help: "Packets received and transmitted by an interface of the host",
    source: "/proc/1/net/dev",
};

/// Packets dropped.
pub static SYSTEM_NETWORK_PACKET_DROPPED: MetricDesc = MetricDesc {
    name: "system.network.packet.dropped",
    unit: "{packet}",
    kind: Kind::Counter,
    attributes: &["network.interface.name", "network.io.direction"],
    help: "Packets dropped though nothing was wrong with them",
    source: "/proc/1/net/dev",
};

/// Network errors.
pub static SYSTEM_NETWORK_ERRORS: MetricDesc = MetricDesc {
    name: "system.network.errors",
    unit: "{error}",
    kind: Kind::Counter,
    attributes: &["network.interface.name", "network.io.direction"],
    help: "Packets that were not received or not transmitted because of an error",
    source: "/proc/1/net/dev",
};

/// Processes by state.
pub static SYSTEM_PROCESS_COUNT: MetricDesc = MetricDesc {
    name: "system.process.count",
    unit: "{process}",
    kind: Kind::UpDownCounter,
    attributes: &["process.state"],
    help: "Processes by the state of their first thread; uninterruptible and idle kernel threads \
           are sleeping. Counted every 15 s, less often where there are very many",
    source: "/proc/<pid>/stat",
};

/// Temperature.
pub static HW_TEMPERATURE: MetricDesc = MetricDesc {
    name: "hw.temperature",
    unit: "Cel",
    kind: Kind::Gauge,
    attributes: &["hw.id", "hw.name"],
    help: "Temperature of a sensor, read every 15 s",
    source: "sysinfo (/sys/class/hwmon or /sys/class/thermal)",
};

/// Critical temperature.
pub static HW_TEMPERATURE_LIMIT: MetricDesc = MetricDesc {
    name: "hw.temperature.limit",
    unit: "Cel",
    kind: Kind::Gauge,
    attributes: &["hw.id", "hw.limit_type", "hw.name"],
    help: "Temperature that the sensor's driver calls critical",
    source: "sysinfo (/sys/class/hwmon)",
};
