//! Metrics of the `memory` and the `faults` probe. Page faults are counted by `sched`.

use super::{Kind, MetricDesc};

/// The metrics of `faults`.
pub(super) const FAULTS_ALL: &[&MetricDesc] =
    &[&PROCESS_MEMORY_FAULT_LATENCY, &MEMORY_FAULT_LATENCY];

/// The metrics of `memory`.
pub(super) const MEMORY_ALL: &[&MetricDesc] = &[
    &PROCESS_MEMORY_RECLAIM_LATENCY,
    &PROCESS_MEMORY_COMPACTION_LATENCY,
    &PROCESS_OOM_KILLS,
    &MEMORY_RECLAIM_LATENCY,
    &MEMORY_COMPACTION_LATENCY,
];

/// Time in reclaim by process group.
pub static PROCESS_MEMORY_RECLAIM_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.process.memory.reclaim.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &["monitor.reclaim.type"],
    help: "Time a thread that wanted memory was kept to free some first: direct when the host was \
           short of it, memcg when its cgroup had reached a limit",
    source: "mm_vmscan_direct_reclaim_begin and _end, mm_vmscan_memcg_reclaim_begin and _end",
};

/// Time in compaction by process group.
pub static PROCESS_MEMORY_COMPACTION_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.process.memory.compaction.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time a thread moved pages together, to get memory in one piece or, in threads of the \
           kernel, ahead of that",
    source: "mm_compaction_begin and mm_compaction_end",
};

/// Victims by process group.
pub static PROCESS_OOM_KILLS: MetricDesc = MetricDesc {
    name: "monitor.process.oom_kills",
    unit: "{event}",
    kind: Kind::Counter,
    attributes: &[],
    help: "Processes that were chosen to be killed as there was no memory left, in the host or in a \
           cgroup",
    source: "mark_victim, or sched_process_exit where that does not say whom",
};

/// Time in reclaim on the host.
pub static MEMORY_RECLAIM_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.memory.reclaim.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &["monitor.reclaim.type"],
    help: "Time threads that wanted memory were kept to free some first; the sum of \
           monitor.process.memory.reclaim.latency over all groups, at a finer scale",
    source: "mm_vmscan_direct_reclaim_begin and _end, mm_vmscan_memcg_reclaim_begin and _end",
};

/// Time in compaction on the host.
pub static MEMORY_COMPACTION_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.memory.compaction.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time threads moved pages together; the sum of monitor.process.memory.compaction.latency \
           over all groups, at a finer scale",
    source: "mm_compaction_begin and mm_compaction_end",
};

/// Time in major faults by process group.
pub static PROCESS_MEMORY_FAULT_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.process.memory.fault.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time a thread was kept by a major page fault, until the page had been read. Faults that the \
           kernel makes for a process, as when it copies to its memory in advance, are not seen. The probe \
           `faults` is off unless it is turned on, as it runs at every minor fault too",
    source: "the software events page-faults and major-faults; a fault whose beginning is not seen, as on a \
             CPU that has come online since the last tick, is lost as unmatched",
};

/// Time in major faults on the host.
pub static MEMORY_FAULT_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.memory.fault.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time threads were kept by major page faults; the sum of \
           monitor.process.memory.fault.latency over all groups, at a finer scale",
    source: "the software events page-faults and major-faults",
};
