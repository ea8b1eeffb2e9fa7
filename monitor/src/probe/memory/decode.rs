//! From the raw records of the `memory` probe to samples. No input or output here.

use monitor_common::{
    hist::COARSE_SHIFT,
    key::ProcessKey,
    memory::{COMPACTION, DIRECT, HostBank, Kept, LATENCIES, Loss, MEMCG},
};

use crate::{
    event::Among,
    metric::{
        MEMORY_COMPACTION_LATENCY, MEMORY_RECLAIM_LATENCY, MetricDesc,
        PROCESS_MEMORY_COMPACTION_LATENCY, PROCESS_MEMORY_RECLAIM_LATENCY, PROCESS_OOM_KILLS,
    },
    probe::{ledger::Ledger, room::Room, tallies::Decode},
    sample::{Attributes, Owner, Sample, Value},
};

/// The metrics of processes, by the latencies' places.
const PROCESS_LATENCIES: [&MetricDesc; LATENCIES] = [
    &PROCESS_MEMORY_RECLAIM_LATENCY,
    &PROCESS_MEMORY_RECLAIM_LATENCY,
    &PROCESS_MEMORY_COMPACTION_LATENCY,
];
/// The same of the host.
const HOST_LATENCIES: [&MetricDesc; LATENCIES] =
    [&MEMORY_RECLAIM_LATENCY, &MEMORY_RECLAIM_LATENCY, &MEMORY_COMPACTION_LATENCY];

/// Decodes snapshots. It keeps the attributes it gives to samples and room for a histogram.
pub(super) struct Decoder {
    none: Attributes,
    /// By the latencies' places.
    latencies: [Attributes; LATENCIES],
    /// Which latencies are measured.
    measured: [bool; LATENCIES],
    ledger: Ledger,
    room: Room,
}

impl Decoder {
    /// A decoder where these latencies, by their places, are measured.
    pub(super) fn new(measured: [bool; LATENCIES]) -> Self {
        let mut latencies: [Attributes; LATENCIES] = Default::default();
        latencies[DIRECT] = Attributes::new([("monitor.reclaim.type", "direct")]);
        latencies[MEMCG] = Attributes::new([("monitor.reclaim.type", "memcg")]);
        // There is one kind of it.
        latencies[COMPACTION] = Attributes::default();
        Self {
            none: Attributes::default(),
            latencies,
            measured,
            ledger: Ledger::new(super::NAME, &Loss::NAMES),
            room: Room::default(),
        }
    }
}

impl Decode<Kept, HostBank> for Decoder {
    fn decode(
        &mut self,
        taken: &[(ProcessKey, Kept)],
        host: &HostBank,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        for (key, kept) in taken {
            let owner = Owner::from(key);
            for (latency, metric) in PROCESS_LATENCIES.into_iter().enumerate() {
                let (sum, slots) = (kept.sums[latency], &kept.slots[latency]);
                let durations = self.room.durations(COARSE_SHIFT, sum, slots);
                if !durations.slots.is_empty() {
                    let (attributes, value) =
                        (&self.latencies[latency], Value::Histogram(durations));
                    sink(Sample { metric, owner, attributes, value });
                }
            }
            if kept.oom_kills > 0 {
                sink(Sample {
                    metric: &PROCESS_OOM_KILLS,
                    owner,
                    attributes: &self.none,
                    value: Value::Increase(kept.oom_kills),
                });
            }
        }
        for (latency, metric) in HOST_LATENCIES.into_iter().enumerate() {
            let (sum, slots) = (host.sums[latency], &host.slots[latency]);
            // A host on which nothing was kept has that to say.
            let durations = self.room.durations(0, sum, slots);
            if !durations.slots.is_empty() || self.measured[latency] {
                let (attributes, value) = (&self.latencies[latency], Value::Histogram(durations));
                sink(Sample { metric, owner: Owner::Host, attributes, value });
            }
        }
        self.ledger.decode(&host.lost, sink);
    }

    fn among(&self, latency: usize) -> Option<Among> {
        let attributes = self.latencies.get(latency)?;
        Some(Among::alike(attributes, [PROCESS_LATENCIES[latency], HOST_LATENCIES[latency]]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::testing::{comm, in_words};

    fn decode(taken: &[(ProcessKey, Kept)], host: &HostBank) -> Vec<String> {
        let mut samples = Vec::new();
        let mut decoder = Decoder::new([true, true, false]);
        decoder.decode(taken, host, &mut |sample| samples.push(in_words(&sample)));
        samples
    }

    #[test]
    fn processes_and_the_host() {
        let key = ProcessKey { comm: comm("db"), tgid: 42, bank: 1, ..ProcessKey::default() };
        let mut kept = Kept { oom_kills: 1, ..Kept::EMPTY };
        (kept.sums, kept.slots[DIRECT][20]) = ([5, 6, 7], 2);
        (kept.slots[MEMCG][0], kept.slots[COMPACTION][115]) = (1, 3);
        let rest = Kept { oom_kills: 2, ..Kept::EMPTY };
        let mut host = HostBank { lost: [1, 2, 3, 4], ..HostBank::EMPTY };
        (host.sums[MEMCG], host.slots[MEMCG][459]) = (8, 9);
        assert_eq!(
            decode(&[(key, kept), (ProcessKey::other(1), rest)], &host),
            [
                "monitor.process.memory.reclaim.latency 42:db direct 5ns at 2: [(20, 2)]",
                "monitor.process.memory.reclaim.latency 42:db memcg 6ns at 2: [(0, 1)]",
                "monitor.process.memory.compaction.latency 42:db 7ns at 2: [(115, 3)]",
                "monitor.process.oom_kills 42:db 1",
                "monitor.process.oom_kills rest 2",
                "monitor.memory.reclaim.latency host direct 0ns at 0: []",
                "monitor.memory.reclaim.latency host memcg 8ns at 0: [(459, 9)]",
                "monitor.agent.lost host memory unmatched 1",
                "monitor.agent.lost host memory implausible 2",
                "monitor.agent.lost host memory table_full 3",
                "monitor.agent.lost host memory ring_full 4",
            ]
        );
    }
}
