//! Metrics of the `block` probe.

use super::{Kind, MetricDesc, pair};

/// Every metric of this module.
pub(crate) const BLOCK_ALL: &[&MetricDesc] = &[
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

pair! {
    process: PROCESS_BLOCK_QUEUE_LATENCY "monitor.process.block.queue.latency" ["system.device", "disk.io.direction"],
    host: BLOCK_QUEUE_LATENCY "monitor.block.queue.latency" ["system.device", "disk.io.direction"] ", per device",
    kind: Histogram "s",
    is_cost: true,
    help: "Block I/O queue latency: time from creation of a request to its last issue to the device",
    details: "Plug time, in which a task holds requests back to submit them together, counts as queue time, and so \
              does a requeue, where the device refused the request. A request that others are merged into keeps its \
              own creation time, and a merged one is no operation of its own. Not included is what passes before the \
              request exists: waits for a free tag, for writeback throttling (WBT) or for a cgroup limit (io.max), and \
              time in device-mapper or md above the disk. Before Linux 6.5, requests allocated in a batch have the \
              creation time of the first. Attribution: a request belongs to the process that submitted it, with the \
              parts that others merged into it; writeback belongs to the kernel thread that writes, in the cgroup that \
              dirtied the pages (cgroup v2). I/O of a partition is that of its disk. Stacked devices without a request \
              queue, such as most device-mapper devices, have no requests: theirs are those of the disks below.",
    source: "block_io_start to block_rq_issue: request.start_time_ns and request.io_start_time_ns where the kernel \
             reads its clock for each, else a clock of the programs",
}

pair! {
    process: PROCESS_BLOCK_DEVICE_LATENCY "monitor.process.block.device.latency" ["system.device", "disk.io.direction"],
    host: BLOCK_DEVICE_LATENCY "monitor.block.device.latency" ["system.device", "disk.io.direction"] ", per device",
    kind: Histogram "s",
    is_cost: true,
    help: "Block I/O device latency: time from the last issue of a request to its completion",
    details: "A request that only flushes has the time of the device's flush that it waited for. Attribution as for \
              monitor.process.block.queue.latency.",
    source: "block_rq_issue to block_rq_complete, as for monitor.process.block.queue.latency",
}

pair! {
    process: PROCESS_BLOCK_IO "monitor.process.block.io" ["system.device", "disk.io.direction"],
    host: BLOCK_IO "monitor.block.io" ["system.device", "disk.io.direction"] ", per device",
    kind: Counter "By",
    is_cost: false,
    help: "Bytes read, written or discarded by block I/O requests",
    details: "Attribution as for monitor.process.block.queue.latency.",
    source: "block_rq_complete",
}

pair! {
    process: PROCESS_BLOCK_OPERATIONS "monitor.process.block.operations" ["system.device", "disk.io.direction"],
    host: BLOCK_OPERATIONS "monitor.block.operations" ["system.device", "disk.io.direction"] ", per device",
    kind: Counter "{operation}",
    is_cost: false,
    help: "Completed block I/O requests",
    details: "Writes and flushes together are what the kernel counts as writes, as it turns a request that only \
              flushes into an empty write; it counts flushes of the device separately.",
    source: "block_rq_complete",
}

pair! {
    process: PROCESS_BLOCK_ERRORS "monitor.process.block.errors" ["system.device", "disk.io.direction"],
    host: BLOCK_ERRORS "monitor.block.errors" ["system.device", "disk.io.direction"] ", per device",
    kind: Counter "{operation}",
    is_cost: false,
    help: "Block I/O requests that failed, completely or in part",
    details: "",
    source: "block_rq_complete",
}

/// Driver commands by device.
pub static BLOCK_PASSTHROUGH: MetricDesc = MetricDesc {
    name: "monitor.block.passthrough",
    unit: "{command}",
    kind: Kind::Counter,
    attributes: &["system.device"],
    help: "Completed SCSI and NVMe passthrough commands, such as the polling of a CD-ROM drive",
    details: "They are no block I/O operations, neither here nor in /proc/diskstats.",
    source: "block_rq_complete",
    ..MetricDesc::BASE
};
