//! Metrics of the `block` probe.

use super::{Kind, MetricDesc};

/// Every metric of this module.
pub(super) const BLOCK_ALL: &[&MetricDesc] = &[
    &PROCESS_BLOCK_QUEUE_LATENCY,
    &PROCESS_BLOCK_DEVICE_LATENCY,
    &PROCESS_BLOCK_IO,
    &PROCESS_BLOCK_OPERATIONS,
    &PROCESS_BLOCK_ERRORS,
    &BLOCK_QUEUE_LATENCY,
    &BLOCK_DEVICE_LATENCY,
    &BLOCK_IO,
    &BLOCK_OPERATIONS,
    &BLOCK_ERRORS,
    &BLOCK_PASSTHROUGH,
];

/// What tells the series of a group or of the host apart.
const ATTRIBUTES: &[&str] = &["system.device", "disk.io.direction"];

/// Queue latency by process group.
pub static PROCESS_BLOCK_QUEUE_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.process.block.queue.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: ATTRIBUTES,
    help: "Time that requests to block devices waited in the kernel: from being made to being last \
           issued to the device. The time in a plug, where a task holds requests back to submit them \
           together, counts, and so does what an issue took that the device turned away (a requeue). A \
           request that others are merged into keeps the time it was made itself; what is merged into \
           it is no operation of its own. What passes before there is a request is not in it: waits \
           for a free tag, for limits on writeback (WBT) or of a cgroup (io.max), and in device-mapper \
           or md above the disk. Before Linux 6.5 requests that are made in a batch begin with the \
           first of them. A request is its maker's, also the parts that others added to it; one that \
           the kernel writes back is its thread's, in the cgroup that dirtied the pages where the \
           version 2 hierarchy tells. A partition's are its disk's. Devices made of others without a \
           queue of their own, as most of device-mapper's, have no requests: theirs are those of the \
           disks below",
    source: "block_io_start to block_rq_issue: request.start_time_ns and request.io_start_time_ns \
             where the kernel reads its clock for each, else a clock of the programs",
};

/// Device latency by process group.
pub static PROCESS_BLOCK_DEVICE_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.process.block.device.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: ATTRIBUTES,
    help: "Time from last issuing a request to the block device to its completion; of a request that \
           only flushes, that of the device's flush it waited for",
    source: "block_rq_issue to block_rq_complete, as for monitor.process.block.queue.latency",
};

/// Bytes by process group.
pub static PROCESS_BLOCK_IO: MetricDesc = MetricDesc {
    name: "monitor.process.block.io",
    unit: "By",
    kind: Kind::Counter,
    attributes: ATTRIBUTES,
    help: "Bytes that requests to block devices read, wrote or discarded",
    source: "block_rq_complete",
};

/// Operations by process group.
pub static PROCESS_BLOCK_OPERATIONS: MetricDesc = MetricDesc {
    name: "monitor.process.block.operations",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: ATTRIBUTES,
    help: "Requests to block devices that ended. Writes and flushes together are what the kernel counts \
           as writes, as it makes a request that only flushes a write of nothing; it counts flushes of \
           the device besides",
    source: "block_rq_complete",
};

/// Failed operations by process group.
pub static PROCESS_BLOCK_ERRORS: MetricDesc = MetricDesc {
    name: "monitor.process.block.errors",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: ATTRIBUTES,
    help: "Requests to block devices, or parts of them, that failed",
    source: "block_rq_complete",
};

/// Queue latency by device.
pub static BLOCK_QUEUE_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.block.queue.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: ATTRIBUTES,
    help: "Time that requests to a block device waited in the kernel, from being made to being last \
           issued; the sum of monitor.process.block.queue.latency over all groups, at a finer scale",
    source: "block_io_start to block_rq_issue, as for monitor.process.block.queue.latency",
};

/// Device latency by device.
pub static BLOCK_DEVICE_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.block.device.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: ATTRIBUTES,
    help: "Time from issuing a request to a block device to its completion; the sum of \
           monitor.process.block.device.latency over all groups, at a finer scale",
    source: "block_rq_issue to block_rq_complete, as for monitor.process.block.queue.latency",
};

/// Bytes by device.
pub static BLOCK_IO: MetricDesc = MetricDesc {
    name: "monitor.block.io",
    unit: "By",
    kind: Kind::Counter,
    attributes: ATTRIBUTES,
    help: "Bytes that requests to a block device read, wrote or discarded",
    source: "block_rq_complete",
};

/// Operations by device.
pub static BLOCK_OPERATIONS: MetricDesc = MetricDesc {
    name: "monitor.block.operations",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: ATTRIBUTES,
    help: "Requests to a block device that ended",
    source: "block_rq_complete",
};

/// Failed operations by device.
pub static BLOCK_ERRORS: MetricDesc = MetricDesc {
    name: "monitor.block.errors",
    unit: "{operation}",
    kind: Kind::Counter,
    attributes: ATTRIBUTES,
    help: "Requests to a block device, or parts of them, that failed",
    source: "block_rq_complete",
};

/// Driver commands by device.
pub static BLOCK_PASSTHROUGH: MetricDesc = MetricDesc {
    name: "monitor.block.passthrough",
    unit: "{command}",
    kind: Kind::Counter,
    attributes: &["system.device"],
    help: "Driver commands (SCSI or NVMe passthrough) to a block device that ended, such as the polling \
           of a CD-ROM drive; they are no operations, and the kernel does not count them either",
    source: "block_rq_complete",
};
