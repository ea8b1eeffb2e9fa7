//! From the raw records of the `faults` probe to samples. No input or output here.

use monitor_common::{
    faults::{Faults, HostBank, Loss},
    hist::COARSE_SHIFT,
    key::ProcessKey,
};

use crate::{
    event::Among,
    metric::{MEMORY_FAULT_LATENCY, PROCESS_MEMORY_FAULT_LATENCY},
    probe::{ledger::Ledger, room::Room, tallies::Decode},
    sample::{Attributes, Owner, Sample, Value},
};

/// Decodes snapshots. It keeps room for a histogram.
pub(super) struct Decoder {
    none: Attributes,
    ledger: Ledger,
    room: Room,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            none: Attributes::default(),
            ledger: Ledger::new(super::NAME, &Loss::NAMES),
            room: Room::default(),
        }
    }
}

impl Decode<Faults, HostBank> for Decoder {
    fn decode(
        &mut self,
        taken: &[(ProcessKey, Faults)],
        host: &HostBank,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        let attributes = &self.none;
        for (key, faults) in taken {
            let durations = self.room.durations(COARSE_SHIFT, faults.sum_ns, &faults.slots);
            if !durations.slots.is_empty() {
                let (metric, owner) = (&PROCESS_MEMORY_FAULT_LATENCY, Owner::from(key));
                let value = Value::Histogram(durations);
                sink(Sample { metric, owner, attributes, value });
            }
        }
        // A host on which nobody waited has that to say.
        let (metric, owner) = (&MEMORY_FAULT_LATENCY, Owner::Host);
        let value = Value::Histogram(self.room.durations(0, host.sum_ns, &host.slots));
        sink(Sample { metric, owner, attributes, value });
        self.ledger.decode(&host.lost, sink);
    }

    fn among(&self, _: usize) -> Option<Among> {
        Some(Among::alike(&self.none, [&PROCESS_MEMORY_FAULT_LATENCY, &MEMORY_FAULT_LATENCY]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::testing::{comm, in_words};

    #[test]
    fn processes_and_the_host() {
        let key = ProcessKey { tgid: 7, comm: comm("reader"), ..ProcessKey::default() };
        let mut faults = Faults::EMPTY;
        (faults.slots[20], faults.sum_ns) = (3, 900);
        let mut host = HostBank { lost: [1, 2, 3, 4], ..HostBank::EMPTY };
        (host.slots[80], host.slots[83], host.sum_ns) = (1, 2, 900);
        let mut samples = Vec::new();
        let taken = [(key, faults), (ProcessKey::other(0), Faults::EMPTY)];
        Decoder::new().decode(&taken, &host, &mut |sample| samples.push(in_words(&sample)));
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
