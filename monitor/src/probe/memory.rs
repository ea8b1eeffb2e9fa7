//! The `memory` probe: reclaim, compaction, and processes killed for want of memory. See
//! `monitor-ebpf/src/bin/memory.rs` for the kernel's half. Page faults are the `sched` probe's.

mod decode;

use aya::maps::{Array, MapData};
use monitor_common::{
    key::ProcessKey,
    memory::{HostBank, Kept, LATENCIES},
    offsets::{MemoryOffsets, ProcessOffsets, TaskOffsets},
};

use self::decode::Decoder;
use super::{
    MapEntries, Probe, ProbeDesc, ProbeError, banks::Banks, events::Events, maps, table::Table,
};
use crate::{
    event::Event,
    kernel::{
        attach::{Alternative, Hook, Target, tracepoint},
        loader::{Kernel, Object, Raw, Setup},
    },
    sample::Sample,
};

const NAME: &str = "memory";
const HOST: &str = "HOST";

const DIRECT: &str = "time kept to free memory as the host is short of it";
const MEMCG: &str = "time kept to free memory as a cgroup has reached a limit";
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
        without: Some("processes killed for want of memory"),
    },
    Hook {
        name: "major_fault_end",
        alternatives: &[],
        without: Some(
            "the latency of major faults: no tracepoint says that one has ended, and a program at \
             the return of every fault would run for all minor ones too",
        ),
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
    help: "reclaim, compaction, processes killed for want of memory",
    hooks: HOOKS,
    load: |kernel| Ok(Box::new(Memory::load(kernel)?)),
};

struct Memory {
    object: Object,
    banks: Banks,
    kept: Table<ProcessKey, Kept>,
    host: Array<MapData, Raw<HostBank>>,
    events: Events,
    /// The last snapshot.
    taken: Vec<(ProcessKey, Kept)>,
    taken_host: HostBank,
    decoder: Decoder,
}

impl Memory {
    fn load(kernel: &Kernel) -> Result<Self, ProbeError> {
        let mut object = kernel.load(
            NAME,
            aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/memory.o")),
            &Setup {
                offsets: &[TaskOffsets::TABLE, ProcessOffsets::TABLE, MemoryOffsets::TABLE],
                constants: &[("MEMORY_SUBSYS", kernel.subsys("memory"))],
                ..Setup::default()
            },
        )?;
        let banks = Banks::take(&mut object, NAME)?;
        let kept = Table::take(&mut object, (NAME, "KEPT"), Kept::EMPTY)?;
        let host = maps::take(&mut object, (NAME, HOST))?;
        let events = Events::take(&mut object, (NAME, "EVENTS"))?;
        for hook in HOOKS {
            kernel.attach(&mut object, hook);
        }
        let is_attached = |name: &str| {
            let mut verdicts = object.verdicts.iter();
            verdicts.any(|verdict| verdict.hook == name && verdict.state.is_attached())
        };
        let measured = ENDS.map(|[begin, end]| is_attached(begin) && is_attached(end));
        Ok(Self {
            object,
            banks,
            kept,
            host,
            events,
            taken: Vec::new(),
            taken_host: HostBank::EMPTY,
            decoder: Decoder::new(measured),
        })
    }
}

impl Probe for Memory {
    fn object(&self) -> &Object {
        &self.object
    }

    fn end_tick(&mut self) -> Result<(), ProbeError> {
        self.banks.flip()
    }

    fn snapshot(&mut self) -> Result<(), ProbeError> {
        self.object.flush_log();
        // What is taken from the kernel is gone there: a step that fails must not give it out twice.
        self.taken.clear();
        self.taken_host = HostBank::EMPTY;
        self.events.snapshot();
        let ended = self.banks.ended();
        self.kept.drain(ended, &mut self.taken)?;
        let error = |source| ProbeError::Map { probe: NAME, map: HOST, source };
        self.taken_host = self.host.get(&ended.into(), 0).map_err(error)?.0;
        self.host.set(ended.into(), Raw(HostBank::EMPTY), 0).map_err(error)
    }

    fn decode(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        self.decoder.decode(&self.taken, &self.taken_host, sink);
    }

    fn events(&mut self, sink: &mut dyn FnMut(Event)) {
        self.events.decode(sink);
    }

    fn entries(&self) -> Vec<MapEntries> {
        let entries = self.taken.len() as u64;
        vec![MapEntries { map: "KEPT", entries, storage_bytes: 0 }]
    }
}
