//! The `memory` probe: reclaim, compaction and OOM kills. See
//! `monitor-ebpf/src/bin/memory.rs` for the kernel's half. Page faults are counted by the
//! `sched` probe, and timed by the `faults` probe.

mod decode;

use std::time::Duration;

use monitor_common::{
    memory::{HostBank, Kept, LATENCIES},
    offsets::{MemoryOffsets, ProcessOffsets, TaskOffsets},
};

use self::decode::Decoder;
use super::{
    ProbeDesc, ProbeError,
    per_process::{Layout, PerProcess},
};
use crate::{
    kernel::{
        attach::{Alternative, Hook, Target, tracepoint},
        loader::{Kernel, Setup},
    },
    metric,
};

const NAME: &str = "memory";

const DIRECT: &str = "direct reclaim latency";
const MEMCG: &str = "memcg reclaim latency";
const COMPACTION: &str = "time kept to move pages together";

/// Ends before beginnings: of what begins with a hook attached the end is seen.
const HOOKS: &[Hook] = &[
    tracepoint!("mm_vmscan_direct_reclaim_end", Some(DIRECT)),
    tracepoint!("mm_vmscan_direct_reclaim_begin", Some(DIRECT)),
    tracepoint!("mm_vmscan_memcg_reclaim_end", Some(MEMCG)),
    tracepoint!("mm_vmscan_memcg_reclaim_begin", Some(MEMCG)),
    tracepoint!("mm_compaction_end", Some(COMPACTION)),
    tracepoint!("mm_compaction_begin", Some(COMPACTION)),
    Hook {
        name: "oom_victim",
        alternatives: &[
            Alternative { program: "mark_victim", target: Target::TpBtf("mark_victim") },
            // Older kernels give the first no more than a thread id.
            Alternative { program: "victim_exit", target: Target::TpBtf("sched_process_exit") },
        ],
        without: Some("OOM kills"),
    },
];

/// The hooks at the beginning and the end of each latency, by the latencies' places.
const ENDS: [[&str; 2]; LATENCIES] = [
    ["mm_vmscan_direct_reclaim_begin", "mm_vmscan_direct_reclaim_end"],
    ["mm_vmscan_memcg_reclaim_begin", "mm_vmscan_memcg_reclaim_end"],
    ["mm_compaction_begin", "mm_compaction_end"],
];

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "latency of memory reclaim and compaction; OOM kills",
    metrics: metric::MEMORY_ALL,
    hooks: HOOKS,
    is_default: true,
    slow: Some(Duration::from_millis(100)),
    load: |kernel| Ok(Box::new(load(kernel)?)),
};

fn load(kernel: &Kernel) -> Result<PerProcess<Kept, HostBank, Decoder>, ProbeError> {
    let object = kernel.load(
        NAME,
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/memory.o")),
        &Setup {
            offsets: &[TaskOffsets::TABLE, ProcessOffsets::TABLE, MemoryOffsets::TABLE],
            constants: &[("MEMORY_SUBSYS", kernel.subsys("memory"))],
            ..Setup::default()
        },
    )?;
    let layout = Layout {
        probe: NAME,
        processes: ("KEPT", Kept::EMPTY),
        host: ("HOST", HostBank::EMPTY),
        events: "EVENTS",
        pairs: &[],
    };
    PerProcess::start(object, layout, |object| {
        for hook in HOOKS {
            kernel.attach(object, hook);
        }
        let is_attached = |name: &str| {
            let mut verdicts = object.verdicts.iter();
            verdicts.any(|verdict| verdict.hook == name && verdict.state.is_attached())
        };
        Decoder::new(ENDS.map(|[begin, end]| is_attached(begin) && is_attached(end)))
    })
}
