//! A probe whose programs keep one table by process, one value by bank and a ring buffer of
//! events.

use monitor_common::{Pod, key::ProcessKey};

use super::{
    MapEntries, Probe, ProbeError,
    banked::Banked,
    banks::Banks,
    events::Events,
    pairs::{self, Pairs},
    table::Table,
};
use crate::{
    event::{Among, Event, Kind},
    kernel::{loader::Object, stats::ProgramStats},
    sample::Sample,
};

/// What such a probe's tables are called, and what they are when empty.
pub(super) struct Layout<V, H> {
    /// Its name.
    pub(super) probe: &'static str,
    /// The table of processes.
    pub(super) processes: (&'static str, V),
    /// The value by bank.
    pub(super) host: (&'static str, H),
    /// The ring buffer.
    pub(super) events: &'static str,
    /// Programs at the same tracepoints.
    pub(super) pairs: pairs::Names,
}

/// From what such a probe took to samples.
pub(super) trait Decode<V, H>: Send {
    /// Calls `sink` with every sample of a snapshot.
    fn decode(&mut self, taken: &[(ProcessKey, V)], host: &H, sink: &mut dyn FnMut(Sample<'_>));

    /// Events that second programs at the same tracepoints recovered.
    fn recovered(_host: &H) -> i64 {
        0
    }

    /// What slow latencies are among, by their places.
    fn among(&self, _latency: usize) -> Option<Among> {
        None
    }
}

/// Such a probe.
pub(super) struct PerProcess<V: Pod, H: Pod, D> {
    object: Object,
    layout: Layout<V, H>,
    banks: Banks,
    processes: Table<ProcessKey, V>,
    host: Banked<H>,
    events: Events,
    /// The last snapshot.
    taken: Vec<(ProcessKey, V)>,
    taken_host: H,
    pairs: Pairs,
    decoder: D,
}

impl<V: Pod, H: Pod, D: Decode<V, H>> PerProcess<V, H, D> {
    /// Takes the maps of a loaded probe and attaches it. The decoder is made when it is known which
    /// hooks are attached.
    pub(super) fn start(
        mut object: Object,
        layout: Layout<V, H>,
        attach: impl FnOnce(&mut Object) -> D,
    ) -> Result<Self, ProbeError> {
        let probe = layout.probe;
        let (processes, none) = layout.processes;
        let (host, empty) = layout.host;
        Ok(Self {
            banks: Banks::take(&mut object, probe)?,
            processes: Table::take(&mut object, (probe, processes), none)?,
            host: Banked::take(&mut object, (probe, host), empty)?,
            events: Events::take(&mut object, (probe, layout.events))?,
            taken: Vec::new(),
            taken_host: empty,
            pairs: Pairs::new(layout.pairs),
            decoder: attach(&mut object),
            layout,
            object,
        })
    }
}

impl<V: Pod + Send, H: Pod + Send, D: Decode<V, H>> Probe for PerProcess<V, H, D> {
    fn object(&self) -> &Object {
        &self.object
    }

    fn skipped(&self, programs: &[(&str, ProgramStats)]) -> u64 {
        self.pairs.lost(programs.iter().cloned())
    }

    fn end_tick(&mut self) -> Result<(), ProbeError> {
        self.banks.flip()
    }

    fn snapshot(&mut self) -> Result<(), ProbeError> {
        self.object.flush_log();
        self.object.follow_cpus();
        // What is taken from the kernel is gone there: a step that fails must not give it out twice.
        self.taken.clear();
        self.taken_host = self.layout.host.1;
        self.events.snapshot();
        let ended = self.banks.ended();
        self.processes.drain(ended, &mut self.taken)?;
        self.taken_host = self.host.drain(ended.into())?;
        self.pairs.tick(D::recovered(&self.taken_host), &self.object.accounts);
        Ok(())
    }

    fn decode(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        self.decoder.decode(&self.taken, &self.taken_host, sink);
    }

    fn events(&mut self, wanted: &dyn Fn(Kind) -> bool, sink: &mut dyn FnMut(Event)) {
        self.events.decode(wanted, &mut |latency, ()| self.decoder.among(latency), sink);
    }

    fn entries(&self) -> Vec<MapEntries> {
        let (map, _) = self.layout.processes;
        vec![MapEntries { map, entries: self.taken.len() as u64, storage_bytes: 0 }]
    }
}
