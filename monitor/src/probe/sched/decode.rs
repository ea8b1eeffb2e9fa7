//! From the raw records of the `sched` probe to samples. No input or output here.

use std::array;

use monitor_common::{
    hist::COARSE_SHIFT,
    key::ProcessKey,
    sched::{
        Exited, HOST_LATENCIES, HostBank, LATENCIES, Loss, ProcessThrottled, Summary, THROTTLED,
        TaskRecord, TaskSlots, Usage,
    },
};

use crate::{
    event::Among,
    metric::{
        MetricDesc, PROCESS_CONTEXT_SWITCHES, PROCESS_CPU_THROTTLED_LATENCY, PROCESS_CPU_TIME,
        PROCESS_MEMORY_FAULTS, PROCESS_OFFCPU_LATENCY, PROCESS_RUNQUEUE_LATENCY,
        SCHED_CONTEXT_SWITCHES,
    },
    probe::{ledger::Ledger, scratch::Scratch},
    sample::{Attributes, Durations, Owner, Sample, Value},
};

/// The metrics of a process's latencies, by the latencies' places.
const PROCESS_LATENCIES: [&MetricDesc; HOST_LATENCIES] =
    [&PROCESS_RUNQUEUE_LATENCY, &PROCESS_OFFCPU_LATENCY, &PROCESS_CPU_THROTTLED_LATENCY];
/// The same of the host.
const HOST: [&MetricDesc; HOST_LATENCIES] = {
    let [runqueue, offcpu, throttled] = PROCESS_LATENCIES;
    [runqueue.of_host(), offcpu.of_host(), throttled.of_host()]
};

/// The raw contents of the maps at the end of one tick.
#[derive(Default)]
pub(super) struct Snapshot {
    /// Threads there are.
    pub(super) threads: u64,
    /// What the pass wrote: a [`TaskRecord`] and [`TaskSlots`] for every thread with news.
    pub(super) records: Vec<u8>,
    /// What exited threads left.
    pub(super) exited: Vec<(ProcessKey, Exited)>,
    /// For how long processes were throttled.
    pub(super) throttled: Vec<(ProcessKey, ProcessThrottled)>,
    /// What each CPU counted.
    pub(super) cpus: Vec<HostBank>,
}

impl Snapshot {
    /// Makes room for the next.
    pub(super) fn clear(&mut self) {
        self.records.clear();
        self.exited.clear();
        self.throttled.clear();
        self.cpus.clear();
    }
}

/// Decodes snapshots. It keeps the attributes it gives to samples and room for a histogram.
pub(super) struct Decoder {
    none: Attributes,
    voluntary: Attributes,
    involuntary: Attributes,
    minor: Attributes,
    major: Attributes,
    cpus: Vec<Attributes>,
    /// Whether it is seen who is throttled.
    has_throttled: bool,
    ledger: Ledger,
    scratch: Scratch,
}

impl Decoder {
    /// A decoder for a host with this many CPUs, and whether it is seen there who is throttled.
    pub(super) fn new(cpus: u32, has_throttled: bool) -> Self {
        let switch = |kind: &str| Attributes::new([("process.context_switch.type", kind)]);
        let fault = |kind: &str| Attributes::new([("system.paging.fault.type", kind)]);
        Self {
            none: Attributes::default(),
            voluntary: switch("voluntary"),
            involuntary: switch("involuntary"),
            minor: fault("minor"),
            major: fault("major"),
            cpus: (0..cpus)
                .map(|cpu| Attributes::new([("cpu.logical_number", cpu.to_string())]))
                .collect(),
            has_throttled,
            ledger: Ledger::new(super::NAME, &Loss::NAMES),
            scratch: Scratch::default(),
        }
    }

    /// Calls `sink` with every sample of a snapshot.
    pub(super) fn decode(&mut self, snapshot: &Snapshot, sink: &mut dyn FnMut(Sample<'_>)) {
        for bytes in snapshot.records.chunks_exact(RECORD) {
            let (TaskRecord { key, usage, summaries }, slots) = split(bytes);
            self.process(&key, &usage, (&summaries, &slots), false, sink);
        }
        for (key, exited) in &snapshot.exited {
            self.process(key, &exited.usage, (&exited.summaries, &exited.slots), true, sink);
        }
        for (key, throttled) in &snapshot.throttled {
            let durations =
                self.scratch.durations(COARSE_SHIFT, throttled.sums[0], &throttled.slots[0]);
            histogram(PROCESS_LATENCIES[THROTTLED], key.into(), &self.none, durations, sink);
        }
        self.host(&snapshot.cpus, sink);
    }

    /// What slow latencies are among, by their places.
    pub(super) fn among(&self, latency: usize) -> Option<Among> {
        let metrics = [PROCESS_LATENCIES.get(latency)?, HOST.get(latency)?];
        Some(Among::alike(&self.none, metrics.map(|metric| *metric)))
    }

    fn process(
        &mut self,
        key: &ProcessKey,
        usage: &Usage,
        (summaries, slots): (&[Summary; LATENCIES], &TaskSlots),
        left_behind: bool,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        let owner = Owner::from(key);
        for (metric, attributes, increase) in [
            (&PROCESS_CPU_TIME, &self.none, usage.cpu_time),
            (&PROCESS_CONTEXT_SWITCHES, &self.voluntary, usage.voluntary),
            (&PROCESS_CONTEXT_SWITCHES, &self.involuntary, usage.involuntary),
            (&PROCESS_MEMORY_FAULTS, &self.minor, usage.minor_faults),
            (&PROCESS_MEMORY_FAULTS, &self.major, usage.major_faults),
        ] {
            if increase > 0 {
                sink(Sample { metric, owner, attributes, value: Value::Increase(increase) });
            }
        }
        for (metric, (summary, slots)) in
            PROCESS_LATENCIES.into_iter().zip(summaries.iter().zip(slots))
        {
            if summary.mask != 0 {
                let durations = self.scratch.durations(COARSE_SHIFT, summary.sum, slots);
                let durations = Durations { left_behind, ..durations };
                histogram(metric, owner, &self.none, durations, sink);
            }
        }
    }

    fn host(&mut self, cpus: &[HostBank], sink: &mut dyn FnMut(Sample<'_>)) {
        // CPUs that are not there have no series.
        let present = cpus.iter().zip(&self.cpus).filter(|(bank, _)| bank.switches > 0);
        for (bank, attributes) in present {
            sink(Sample {
                metric: &SCHED_CONTEXT_SWITCHES,
                owner: Owner::Host,
                attributes,
                value: Value::Increase(bank.switches),
            });
        }
        let lost: [u64; Loss::COUNT] =
            array::from_fn(|reason| cpus.iter().map(|bank| bank.lost[reason]).sum());
        self.ledger.decode(&lost, sink);
        for bank in cpus {
            for (metric, (sum, slots)) in HOST.into_iter().zip(bank.sums.iter().zip(&bank.slots)) {
                let durations = self.scratch.durations(0, *sum, slots);
                histogram(metric, Owner::Host, &self.none, durations, sink);
            }
        }
        if self.has_throttled {
            // Zero where no thread is throttled: measured, none.
            let none = Durations { shift: 0, sum_ns: 0, slots: &[], left_behind: false };
            let value = Value::Histogram(none);
            let (metric, attributes) = (HOST[THROTTLED], &self.none);
            sink(Sample { metric, owner: Owner::Host, attributes, value });
        }
    }
}

/// Passes on durations, if there are any.
fn histogram(
    metric: &'static MetricDesc,
    owner: Owner,
    attributes: &Attributes,
    durations: Durations<'_>,
    sink: &mut dyn FnMut(Sample<'_>),
) {
    if !durations.slots.is_empty() {
        sink(Sample { metric, owner, attributes, value: Value::Histogram(durations) });
    }
}

/// Bytes of a thread's record with its slots.
const RECORD: usize = size_of::<TaskRecord>() + size_of::<TaskSlots>();

/// A thread's record and its slots.
fn split(bytes: &[u8]) -> (TaskRecord, TaskSlots) {
    assert_eq!(bytes.len(), RECORD, "chunks have the size of a record");
    let record = bytes.as_ptr().cast::<TaskRecord>();
    #[expect(unsafe_code, reason = "the kernel's programs write plain bytes")]
    // SAFETY: as many bytes as both have, and every bit pattern is valid for both.
    unsafe {
        (record.read_unaligned(), record.add(1).cast::<TaskSlots>().read_unaligned())
    }
}

#[cfg(test)]
mod tests;
