//! The `process` probe: processes made, programs executed, processes ended. See
//! `monitor-ebpf/src/bin/process.rs` for the kernel's half.

mod decode;

use aya::maps::{Array, MapData};
use monitor_common::{
    key::ProcessKey,
    offsets::{ProcessOffsets, TaskOffsets},
    process::{Counts, Lost},
};

use self::decode::Decoder;
use super::{
    MapEntries, Probe, ProbeDesc, ProbeError, banks::Banks, events::Events, maps, table::Table,
};
use crate::{
    event::Event,
    kernel::{
        attach::{Hook, tracepoint},
        loader::{Kernel, Object, Raw, Setup},
    },
    sample::Sample,
};

const NAME: &str = "process";
const LOST: &str = "LOST";

const HOOKS: &[Hook] = &[
    tracepoint!("sched_process_exit", Some("how processes end")),
    tracepoint!("sched_process_exec", Some("which programs are executed")),
    tracepoint!("sched_process_fork", Some("which processes are made")),
];

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "processes made and ended, programs executed",
    hooks: HOOKS,
    load: |kernel| Ok(Box::new(Processes::load(kernel)?)),
};

struct Processes {
    object: Object,
    banks: Banks,
    counts: Table<ProcessKey, Counts>,
    lost: Array<MapData, Raw<Lost>>,
    events: Events,
    /// The last snapshot.
    taken: Vec<(ProcessKey, Counts)>,
    taken_lost: Lost,
    decoder: Decoder,
}

impl Processes {
    fn load(kernel: &Kernel) -> Result<Self, ProbeError> {
        let mut object = kernel.load(
            NAME,
            aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/process.o")),
            &Setup { offsets: &[TaskOffsets::TABLE, ProcessOffsets::TABLE], ..Setup::default() },
        )?;
        let banks = Banks::take(&mut object, NAME)?;
        let counts = Table::take(&mut object, (NAME, "COUNTS"), Counts::EMPTY)?;
        let lost = maps::take(&mut object, (NAME, LOST))?;
        let events = Events::take(&mut object, (NAME, "EVENTS"))?;
        for hook in HOOKS {
            kernel.attach(&mut object, hook);
        }
        Ok(Self {
            object,
            banks,
            counts,
            lost,
            events,
            taken: Vec::new(),
            taken_lost: Lost::default(),
            decoder: Decoder::new(),
        })
    }
}

impl Probe for Processes {
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
        self.taken_lost = Lost::default();
        self.events.snapshot();
        let ended = self.banks.ended();
        self.counts.drain(ended, &mut self.taken)?;
        let error = |source| ProbeError::Map { probe: NAME, map: LOST, source };
        self.taken_lost = self.lost.get(&ended.into(), 0).map_err(error)?.0;
        self.lost.set(ended.into(), Raw(Lost::default()), 0).map_err(error)
    }

    fn decode(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        self.decoder.decode(&self.taken, &self.taken_lost, sink);
    }

    fn events(&mut self, sink: &mut dyn FnMut(Event)) {
        self.events.decode(sink);
    }

    fn entries(&self) -> Vec<MapEntries> {
        let entries = self.taken.len() as u64;
        vec![MapEntries { map: "COUNTS", entries, storage_bytes: 0 }]
    }
}
