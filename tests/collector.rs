//! Runs any probe as the daemon does, and keeps all that it reports.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use monitor::{
    event::Event,
    kernel::loader::Kernel,
    metric::{AGENT_LOST, MetricDesc},
    sample::{Owner, Sample, Value},
};

use crate::{counts::Hist, recorder::comm, running::Running, sys::set_comm};

/// Time between ticks.
const TICK: Duration = Duration::from_millis(200);

/// Whom a value was reported for: a command; `(host)`; or `(other)`.
type Name = String;

/// How much there was of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// In the tick that was last.
    pub last: u64,
    /// In any tick.
    pub most: u64,
}

/// Everything that a probe reported.
#[derive(Debug, Default)]
pub struct Collected {
    /// Counters by metric, name and attribute values.
    pub counts: BTreeMap<(&'static str, Name, Vec<String>), u64>,
    /// How much there was of something at the end of the last tick, and at most, by the same.
    pub levels: BTreeMap<(&'static str, Name, Vec<String>), Level>,
    /// Histograms by the same.
    pub durations: BTreeMap<(&'static str, Name, Vec<String>), Hist>,
    /// What was lost, by reason.
    pub lost: BTreeMap<String, u64>,
    /// How often the kernel skipped programs that were running already.
    pub skipped_runs: u64,
    /// Events in the order they came.
    pub events: Vec<Event>,
}

impl Collected {
    /// A counter's value.
    pub fn count(&self, metric: &MetricDesc, name: &str, attributes: &[&str]) -> u64 {
        self.counts.get(&key(metric, name, attributes)).copied().unwrap_or(0)
    }

    /// How much there was of something.
    pub fn level(&self, metric: &MetricDesc, name: &str, attributes: &[&str]) -> Level {
        self.levels.get(&key(metric, name, attributes)).copied().unwrap_or_default()
    }

    /// A histogram.
    pub fn durations(&self, metric: &MetricDesc, name: &str, attributes: &[&str]) -> Hist {
        self.durations.get(&key(metric, name, attributes)).cloned().unwrap_or_default()
    }

    /// A histogram of all processes together.
    pub fn durations_of_processes(&self, metric: &MetricDesc, attributes: &[&str]) -> Hist {
        let mut all = Hist::default();
        let has = |key: &(&str, Name, Vec<String>)| key.0 == metric.name && key.2 == attributes;
        self.durations.iter().filter(|(key, _)| has(key)).for_each(|(_, hist)| all.merge(hist));
        all
    }

    /// The events of a command.
    pub fn events_of(&self, name: &str) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| comm(&event.process) == name)
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let name = match &sample.owner {
            Owner::Host => "(host)",
            Owner::Rest => "(other)",
            Owner::Process(process) => comm(process),
        };
        let attributes: Vec<_> = sample.attributes.iter().map(|(_, value)| value).collect();
        match &sample.value {
            Value::Increase(count) if sample.metric.name == AGENT_LOST.name => {
                *self.lost.entry(attributes[1].to_owned()).or_default() += count;
            }
            Value::Increase(count) => {
                *self.counts.entry(key(sample.metric, name, &attributes)).or_default() += count;
            }
            Value::Level(level) => {
                self.levels.entry(key(sample.metric, name, &attributes)).or_default().last += level;
            }
            Value::Histogram(durations) => {
                self.durations
                    .entry(key(sample.metric, name, &attributes))
                    .or_default()
                    .add(durations);
            }
            value => panic!("{} is {value:?}", sample.metric.name),
        }
    }
}

fn key(metric: &MetricDesc, name: &str, attributes: &[&str]) -> (&'static str, Name, Vec<String>) {
    let values = attributes.iter().map(|&value| value.to_owned()).collect();
    (metric.name, name.to_owned(), values)
}

/// A running probe.
pub struct Collector {
    stop: Arc<AtomicBool>,
    ticks: Arc<AtomicU64>,
    thread: JoinHandle<Collected>,
}

impl Collector {
    /// Loads and attaches the probe called `name`, and begins to tick.
    pub fn start(kernel: &Kernel, name: &str) -> Self {
        let probe = Running::start(kernel, name);
        let (stop, ticks) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let thread = thread::spawn({
            let (stop, ticks) = (Arc::clone(&stop), Arc::clone(&ticks));
            move || run(probe, &stop, &ticks)
        });
        Self { stop, ticks, thread }
    }

    /// Waits for the end of a tick that began after the call.
    pub fn wait_for_tick(&self) {
        // The tick that is under way began before.
        let end = self.ticks.load(Ordering::Relaxed) + 2;
        while self.ticks.load(Ordering::Relaxed) < end {
            assert!(!self.thread.is_finished(), "the collector has failed");
            thread::sleep(TICK / 10);
        }
    }

    /// Everything that happened until now, and the end of the probe.
    pub fn stop(self) -> Collected {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|_| panic!("the collector has failed"))
    }
}

/// One tick after the other, until told to stop, and two more.
fn run(mut probe: Running, stop: &AtomicBool, ticks: &AtomicU64) -> Collected {
    set_comm("collector");
    let mut collected = Collected::default();
    let mut left = 2;
    while left > 0 {
        if stop.load(Ordering::Relaxed) {
            left -= 1;
        } else {
            thread::sleep(TICK);
        }
        collected.levels.values_mut().for_each(|level| level.last = 0);
        probe.tick(&mut |sample| collected.add(&sample));
        collected.levels.values_mut().for_each(|level| level.most = level.most.max(level.last));
        probe.events(&mut |event| collected.events.push(event));
        ticks.fetch_add(1, Ordering::Relaxed);
    }
    collected.lost.insert("recursion_misses".to_owned(), probe.recursion_misses());
    collected.skipped_runs = probe.skipped_runs();
    collected
}
