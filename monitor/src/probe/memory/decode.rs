//! From the raw records of the `memory` probe to samples. No input or output here.

use monitor_common::{
    hist::COARSE_SHIFT,
    key::ProcessKey,
    memory::{COMPACTION, DIRECT, HostBank, Kept, LATENCIES, Loss, MEMCG},
};

use crate::{
    metric::{
        MEMORY_COMPACTION_LATENCY, MEMORY_RECLAIM_LATENCY, MetricDesc,
        PROCESS_MEMORY_COMPACTION_LATENCY, PROCESS_MEMORY_RECLAIM_LATENCY, PROCESS_OOM_KILLS,
    },
    probe::{ledger::Ledger, tallies::Decode},
    sample::{Attributes, Durations, Owner, Sample, Value},
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
    slots: Vec<(u16, u32)>,
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
            slots: Vec::new(),
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
                if self.take_used(slots) {
                    self.histogram((metric, owner, latency), COARSE_SHIFT, sum, sink);
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
            if self.take_used(slots) || self.measured[latency] {
                self.histogram((metric, Owner::Host, latency), 0, sum, sink);
            }
        }
        self.ledger.decode(&host.lost, sink);
    }
}

impl Decoder {
    /// Takes the slots that are in use; whether there are any.
    fn take_used(&mut self, slots: &[u32]) -> bool {
        let used = (0..).zip(slots.iter().copied()).filter(|(_, count)| *count > 0);
        self.slots.clear();
        self.slots.extend(used);
        !self.slots.is_empty()
    }

    /// A histogram of the slots that were taken.
    fn histogram(
        &self,
        (metric, owner, latency): (&'static MetricDesc, Owner, usize),
        shift: u32,
        sum_ns: u64,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        let value = Value::Histogram(Durations { shift, sum_ns, slots: &self.slots });
        sink(Sample { metric, owner, attributes: &self.latencies[latency], value });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(taken: &[(ProcessKey, Kept)], host: &HostBank) -> Vec<String> {
        let mut samples = Vec::new();
        Decoder::new([true, true, false]).decode(taken, host, &mut |sample| {
            let owner = match sample.owner {
                Owner::Host => "host".to_owned(),
                Owner::Rest => "rest".to_owned(),
                Owner::Process(process) => process.pid.to_string(),
            };
            let attributes: Vec<_> = sample.attributes.iter().map(|(_, value)| value).collect();
            let value = match sample.value {
                Value::Increase(count) => count.to_string(),
                Value::Histogram(Durations { shift, sum_ns, slots }) => {
                    format!("{sum_ns}ns at {shift}: {slots:?}")
                }
                value => panic!("{value:?}"),
            };
            samples.push(format!("{} {owner} {attributes:?} {value}", sample.metric.name));
        });
        samples
    }

    #[test]
    fn processes_and_the_host() {
        let key = ProcessKey { tgid: 42, cgroup_id: 7, bank: 1, ..ProcessKey::default() };
        let mut kept = Kept { oom_kills: 1, ..Kept::EMPTY };
        (kept.sums, kept.slots[DIRECT][20]) = ([5, 6, 7], 2);
        (kept.slots[MEMCG][0], kept.slots[COMPACTION][115]) = (1, 3);
        let rest = Kept { oom_kills: 2, ..Kept::EMPTY };
        let mut host = HostBank { lost: [1, 2, 3, 4], ..HostBank::EMPTY };
        (host.sums[MEMCG], host.slots[MEMCG][459]) = (8, 9);
        assert_eq!(
            decode(&[(key, kept), (ProcessKey::other(1), rest)], &host),
            [
                "monitor.process.memory.reclaim.latency 42 [\"direct\"] 5ns at 2: [(20, 2)]",
                "monitor.process.memory.reclaim.latency 42 [\"memcg\"] 6ns at 2: [(0, 1)]",
                "monitor.process.memory.compaction.latency 42 [] 7ns at 2: [(115, 3)]",
                "monitor.process.oom_kills 42 [] 1",
                "monitor.process.oom_kills rest [] 2",
                "monitor.memory.reclaim.latency host [\"direct\"] 0ns at 0: []",
                "monitor.memory.reclaim.latency host [\"memcg\"] 8ns at 0: [(459, 9)]",
                "monitor.agent.lost host [\"memory\", \"unmatched\"] 1",
                "monitor.agent.lost host [\"memory\", \"implausible\"] 2",
                "monitor.agent.lost host [\"memory\", \"table_full\"] 3",
                "monitor.agent.lost host [\"memory\", \"ring_full\"] 4",
            ]
        );
    }
}
