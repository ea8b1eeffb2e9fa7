//! Sums of samples.

use monitor::{
    metric::{
        MetricDesc, PROCESS_CONTEXT_SWITCHES, PROCESS_CPU_THROTTLED_LATENCY, PROCESS_CPU_TIME,
        PROCESS_MEMORY_FAULTS, PROCESS_OFFCPU_LATENCY, PROCESS_RUNQUEUE_LATENCY,
        SCHED_CONTEXT_SWITCHES, SCHED_OFFCPU_LATENCY, SCHED_RUNQUEUE_LATENCY,
        SCHED_THROTTLED_LATENCY,
    },
    sample::{Durations, Sample, Value},
};
use monitor_common::hist;

/// A histogram, by slots at the scale of threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hist {
    /// Exact sum in nanoseconds.
    pub sum: u128,
    /// Durations by slot, without trailing zeros.
    pub slots: Vec<u64>,
}

impl Hist {
    /// Counts each duration.
    pub fn of(durations: &[u64]) -> Self {
        let mut hist = Self::default();
        for &ns in durations {
            hist.sum += u128::from(ns);
            hist.count_at(hist::coarse(hist::slot(ns)), 1);
        }
        hist
    }

    /// Adds what a sample has.
    pub fn add(&mut self, durations: &Durations<'_>) {
        self.sum += durations.sum_ns;
        for &(slot, count) in durations.slots {
            let slot = usize::from(slot) >> (hist::COARSE_SHIFT - durations.shift);
            self.count_at(slot, count.into());
        }
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Self) {
        self.sum += other.sum;
        for (slot, &count) in other.slots.iter().enumerate() {
            self.count_at(slot, count);
        }
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let mut slots = self.slots.clone();
        for (slot, count) in slots.iter_mut().zip(&before.slots) {
            *slot -= count;
        }
        slots.truncate(slots.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1));
        Self { sum: self.sum - before.sum, slots }
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// The slot that the `q`-quantile lies in; `None` when empty.
    pub fn quantile_slot(&self, q: f64) -> Option<usize> {
        let rank = ((q * self.count() as f64).ceil() as u64).max(1);
        let mut seen = 0;
        self.slots.iter().position(|count| {
            seen += count;
            seen >= rank
        })
    }

    fn count_at(&mut self, slot: usize, count: u64) {
        if count > 0 && self.slots.len() <= slot {
            self.slots.resize(slot + 1, 0);
        }
        if count > 0 {
            self.slots[slot] += count;
        }
    }
}

/// What was measured of a process, or of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// On-CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// Voluntary context switches; for the host all of them.
    pub voluntary: u64,
    /// Involuntary context switches.
    pub involuntary: u64,
    /// Page faults that needed no input or output.
    pub minor_faults: u64,
    /// Page faults that waited for a page to be read.
    pub major_faults: u64,
    /// Run-queue latency.
    pub runqueue: Hist,
    /// Off-CPU latency.
    pub offcpu: Hist,
    /// Throttled latency.
    pub throttled: Hist,
}

impl Counts {
    /// Adds a sample.
    pub fn add(&mut self, sample: &Sample<'_>) {
        let is = |metric: &'static MetricDesc| sample.metric.name == metric.name;
        let kind = sample.attributes.iter().next().map(|(_, value)| value);
        match &sample.value {
            Value::Increase(n) if is(&PROCESS_CPU_TIME) => self.cpu_ns += n,
            Value::Increase(n) if is(&PROCESS_CONTEXT_SWITCHES) && kind == Some("involuntary") => {
                self.involuntary += n;
            }
            Value::Increase(n) if is(&PROCESS_MEMORY_FAULTS) && kind == Some("major") => {
                self.major_faults += n;
            }
            Value::Increase(n) if is(&PROCESS_MEMORY_FAULTS) => self.minor_faults += n,
            Value::Increase(n) if is(&PROCESS_CONTEXT_SWITCHES) || is(&SCHED_CONTEXT_SWITCHES) => {
                self.voluntary += n;
            }
            Value::Histogram(d) if is(&PROCESS_RUNQUEUE_LATENCY) || is(&SCHED_RUNQUEUE_LATENCY) => {
                self.runqueue.add(d);
            }
            Value::Histogram(d) if is(&PROCESS_OFFCPU_LATENCY) || is(&SCHED_OFFCPU_LATENCY) => {
                self.offcpu.add(d);
            }
            Value::Histogram(d)
                if is(&PROCESS_CPU_THROTTLED_LATENCY) || is(&SCHED_THROTTLED_LATENCY) =>
            {
                self.throttled.add(d);
            }
            value => panic!("no test knows of {} with the value {value:?}", sample.metric.name),
        }
    }

    /// All waits for a CPU, in nanoseconds: contended and throttled.
    pub fn waited_ns(&self) -> u128 {
        self.runqueue.sum + self.throttled.sum
    }

    /// Adds another.
    pub fn merge(&mut self, other: &Self) {
        self.cpu_ns += other.cpu_ns;
        self.voluntary += other.voluntary;
        self.involuntary += other.involuntary;
        self.minor_faults += other.minor_faults;
        self.major_faults += other.major_faults;
        self.runqueue.merge(&other.runqueue);
        self.offcpu.merge(&other.offcpu);
        self.throttled.merge(&other.throttled);
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns - before.cpu_ns,
            voluntary: self.voluntary - before.voluntary,
            involuntary: self.involuntary - before.involuntary,
            minor_faults: self.minor_faults - before.minor_faults,
            major_faults: self.major_faults - before.major_faults,
            runqueue: self.runqueue.since(&before.runqueue),
            offcpu: self.offcpu.since(&before.offcpu),
            throttled: self.throttled.since(&before.throttled),
        }
    }
}
