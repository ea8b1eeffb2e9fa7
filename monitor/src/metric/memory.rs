//! Metrics of the `memory` and the `faults` probe. The `sched` probe counts page faults.

use super::{Kind, MetricDesc, pair};

/// The metrics of `faults`.
pub(crate) const FAULTS_ALL: &[&MetricDesc] =
    &[&PROCESS_MEMORY_FAULT_LATENCY, &MEMORY_FAULT_LATENCY];

/// The metrics of `memory`.
pub(crate) const MEMORY_ALL: &[&MetricDesc] = &[
    &PROCESS_MEMORY_RECLAIM_LATENCY,
    &PROCESS_MEMORY_COMPACTION_LATENCY,
    &PROCESS_OOM_KILLS,
    &MEMORY_RECLAIM_LATENCY,
    &MEMORY_COMPACTION_LATENCY,
];

pair! {
    process: PROCESS_MEMORY_RECLAIM_LATENCY "monitor.process.memory.reclaim.latency" ["monitor.reclaim.type"],
    host: MEMORY_RECLAIM_LATENCY "monitor.memory.reclaim.latency" ["monitor.reclaim.type"] ", all threads of the host",
    kind: Histogram "s",
    is_cost: true,
    help: "Memory reclaim latency: time that an allocating thread spent in reclaim",
    details: "`direct`: direct reclaim, as the host was short of memory. `memcg`: reclaim in a cgroup that had reached \
              a limit.",
    source: "mm_vmscan_direct_reclaim_begin and _end, mm_vmscan_memcg_reclaim_begin and _end",
}

pair! {
    process: PROCESS_MEMORY_COMPACTION_LATENCY "monitor.process.memory.compaction.latency" [],
    host: MEMORY_COMPACTION_LATENCY "monitor.memory.compaction.latency" [] ", all threads of the host",
    kind: Histogram "s",
    is_cost: true,
    help: "Memory compaction latency: time that a thread spent in compaction",
    details: "A thread compacts for an allocation of contiguous pages; kernel threads (kcompactd) do it in advance.",
    source: "mm_compaction_begin and mm_compaction_end",
}

/// OOM kills by process group.
pub static PROCESS_OOM_KILLS: MetricDesc = MetricDesc {
    name: "monitor.process.oom_kills",
    unit: "{event}",
    kind: Kind::Counter,
    help: "OOM kills, counted for the OOM victim",
    details: "Those of the host and those of a cgroup with a memory limit.",
    source: "mark_victim, or sched_process_exit where that does not name the victim",
    ..MetricDesc::BASE
};

pair! {
    process: PROCESS_MEMORY_FAULT_LATENCY "monitor.process.memory.fault.latency" [],
    host: MEMORY_FAULT_LATENCY "monitor.memory.fault.latency" [] ", all threads of the host",
    kind: Histogram "s",
    is_cost: true,
    help: "Major page fault latency: time until the page was read",
    details: "Faults that the kernel resolves for a process, such as when it copies to its memory, are not included. \
              The `faults` probe is off by default, as it also runs at each minor fault. A fault whose beginning was \
              not seen, such as on a CPU that came online since the last tick, is lost as `unmatched`.",
    source: "software events page-faults and major-faults",
}
