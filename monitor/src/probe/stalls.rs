//! From what programs count of stalls to samples. No input or output here.

use monitor_common::{
    hist::COARSE_SHIFT,
    key::ProcessKey,
    stall::{HostBank, Loss, ProcessStalls},
};

use super::{ledger::Ledger, per_process::Decode, scratch::Scratch};
use crate::{
    event::Among,
    metric::MetricDesc,
    sample::{Attributes, Owner, Sample, Value},
};

/// A kind of stall.
pub(super) struct Kind {
    /// The metric of processes.
    pub(super) metric: &'static MetricDesc,
    /// What tells it from others with these metrics.
    pub(super) attributes: Attributes,
    /// Whether its beginnings and ends are seen.
    pub(super) is_measured: bool,
}

/// Decodes the stalls of a probe, by kind. It keeps room for a histogram.
pub(super) struct Stalls<const KINDS: usize> {
    kinds: [Kind; KINDS],
    ledger: Ledger,
    scratch: Scratch,
}

impl<const KINDS: usize> Stalls<KINDS> {
    /// For the probe of this name.
    pub(super) fn new(probe: &'static str, kinds: [Kind; KINDS]) -> Self {
        Self { kinds, ledger: Ledger::new(probe, &Loss::NAMES), scratch: Scratch::default() }
    }

    /// Calls `sink` with the histograms of a process that are not empty.
    pub(super) fn decode_process(
        &mut self,
        key: &ProcessKey,
        stalls: &ProcessStalls<KINDS>,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        for (place, kind) in self.kinds.iter().enumerate() {
            let (sum, slots) = (stalls.sums[place], &stalls.slots[place]);
            let durations = self.scratch.durations(COARSE_SHIFT, sum, slots);
            if !durations.slots.is_empty() {
                let (metric, owner) = (kind.metric, Owner::from(key));
                let (attributes, value) = (&kind.attributes, Value::Histogram(durations));
                sink(Sample { metric, owner, attributes, value });
            }
        }
    }

    /// Calls `sink` with the histograms of the host, and with what was lost.
    pub(super) fn decode_host(&mut self, host: &HostBank<KINDS>, sink: &mut dyn FnMut(Sample<'_>)) {
        for (place, kind) in self.kinds.iter().enumerate() {
            let (sum, slots) = (host.stalls.sums[place], &host.stalls.slots[place]);
            let durations = self.scratch.durations(0, sum, slots);
            // A host on which nobody was stalled has that to say.
            if !durations.slots.is_empty() || kind.is_measured {
                let (metric, owner) = (kind.metric.of_host(), Owner::Host);
                let (attributes, value) = (&kind.attributes, Value::Histogram(durations));
                sink(Sample { metric, owner, attributes, value });
            }
        }
        self.ledger.decode(&host.lost, sink);
    }
}

impl<const KINDS: usize> Decode<ProcessStalls<KINDS>, HostBank<KINDS>> for Stalls<KINDS> {
    fn decode(
        &mut self,
        taken: &[(ProcessKey, ProcessStalls<KINDS>)],
        host: &HostBank<KINDS>,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        for (key, stalls) in taken {
            self.decode_process(key, stalls, sink);
        }
        self.decode_host(host, sink);
    }

    fn among(&self, kind: usize) -> Option<Among> {
        let Kind { metric, attributes, .. } = self.kinds.get(kind)?;
        Some(Among::alike(attributes, [*metric, metric.of_host()]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        metric::PROCESS_MEMORY_FAULT_LATENCY,
        probe::testing::{comm, in_words},
    };

    #[test]
    fn processes_and_the_host() {
        let faults = Kind {
            metric: &PROCESS_MEMORY_FAULT_LATENCY,
            attributes: Attributes::default(),
            is_measured: true,
        };
        let key = ProcessKey { tgid: 7, comm: comm("reader"), ..ProcessKey::default() };
        let mut stalls = ProcessStalls::EMPTY;
        (stalls.slots[0][20], stalls.sums) = (3, [900]);
        let taken = [(key, stalls), (ProcessKey::other(0), ProcessStalls::EMPTY)];
        let mut host = HostBank { lost: [1, 2, 3, 4], ..HostBank::EMPTY };
        (host.stalls.slots[0][80], host.stalls.slots[0][83], host.stalls.sums) = (1, 2, [900]);
        let mut samples = Vec::new();
        Stalls::new("faults", [faults])
            .decode(&taken, &host, &mut |sample| samples.push(in_words(&sample)));
        assert_eq!(
            samples,
            [
                "monitor.process.memory.fault.latency 7:reader 900ns at 2: [(20, 3)]",
                "monitor.memory.fault.latency host 900ns at 0: [(80, 1), (83, 2)]",
                "monitor.agent.lost host faults unmatched 1",
                "monitor.agent.lost host faults implausible 2",
                "monitor.agent.lost host faults table_full 3",
                "monitor.agent.lost host faults ring_full 4",
            ]
        );
    }
}
