//! Metrics of the host's devices: disks, file systems, network interfaces and sensors.

use super::{Kind, MetricDesc};

/// Every metric of this module.
pub(super) const DEVICE_ALL: &[&MetricDesc] = &[
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
    &HW_TEMPERATURE,
    &HW_TEMPERATURE_LIMIT,
];

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
