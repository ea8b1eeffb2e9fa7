//! From the raw records of the `memory` probe to samples. No input or output here.

use monitor_common::{
    key::ProcessKey,
    memory::{COMPACTION, DIRECT, HostBank, Kept, LATENCIES, MEMCG},
};

use crate::{
    event::Among,
    metric::{
        PROCESS_MEMORY_COMPACTION_LATENCY, PROCESS_MEMORY_RECLAIM_LATENCY, PROCESS_OOM_KILLS,
    },
    probe::{
        per_process::Decode,
        stalls::{Kind, Stalls},
    },
    sample::{Attributes, Owner, Sample, Value},
};

/// Decodes snapshots.
pub(super) struct Decoder {
    none: Attributes,
    stalls: Stalls<LATENCIES>,
}

impl Decoder {
    /// A decoder where these latencies, by their places, are measured.
    pub(super) fn new(measured: [bool; LATENCIES]) -> Self {
        let reclaim = |place: usize, kind| Kind {
            metric: &PROCESS_MEMORY_RECLAIM_LATENCY,
            attributes: Attributes::new([("monitor.reclaim.type", kind)]),
            is_measured: measured[place],
        };
        let kinds = [
            reclaim(DIRECT, "direct"),
            reclaim(MEMCG, "memcg"),
            Kind {
                metric: &PROCESS_MEMORY_COMPACTION_LATENCY,
                attributes: Attributes::default(),
                is_measured: measured[COMPACTION],
            },
        ];
        Self { none: Attributes::default(), stalls: Stalls::new(super::NAME, kinds) }
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
            self.stalls.decode_process(key, &kept.stalls, sink);
            if kept.oom_kills > 0 {
                sink(Sample {
                    metric: &PROCESS_OOM_KILLS,
                    owner: Owner::from(key),
                    attributes: &self.none,
                    value: Value::Increase(kept.oom_kills),
                });
            }
        }
        self.stalls.decode_host(host, sink);
    }

    fn among(&self, latency: usize) -> Option<Among> {
        self.stalls.among(latency)
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
        (kept.stalls.sums, kept.stalls.slots[DIRECT][20]) = ([5, 6, 7], 2);
        (kept.stalls.slots[MEMCG][0], kept.stalls.slots[COMPACTION][115]) = (1, 3);
        let rest = Kept { oom_kills: 2, ..Kept::EMPTY };
        let mut host = HostBank { lost: [1, 2, 3, 4], ..HostBank::EMPTY };
        (host.stalls.sums[MEMCG], host.stalls.slots[MEMCG][459]) = (8, 9);
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
