//! What exporters read: the state of all series after one tick, immutable and shared.

use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use monitor_common::hist;
use serde::Serialize;

use crate::{kernel::attach::Verdict, metric::MetricDesc, sample::Attributes};

/// Everything that is known after a tick.
#[derive(Debug)]
pub struct View {
    /// Number of the tick, from 1; 0 before the first.
    pub tick: u64,
    /// When the tick ended.
    pub time: SystemTime,
    /// When the tick ended, by the clock that never jumps.
    pub instant: Instant,
    /// Time that the tick took, from the one before.
    pub interval: Duration,
    /// Time after which the next is to come.
    pub next: Duration,
    /// All series, ordered by metric.
    pub series: Vec<Series>,
    /// Processes that did something in the tick, those with the longest run-queue wait first.
    pub processes: Vec<ProcessRow>,
    /// State of each probe.
    pub probes: Vec<ProbeStatus>,
    /// The result of the last round of the self-audit.
    pub audit: Vec<AuditRow>,
    /// What else does not work, in sentences.
    pub problems: Vec<String>,
    /// What is not measured as this host has nothing of the kind, in sentences.
    pub absent: Vec<String>,
}

impl View {
    /// One as of now, before the first tick, with nothing in it.
    pub fn empty(interval: Duration) -> Self {
        Self {
            tick: 0,
            time: SystemTime::now(),
            instant: Instant::now(),
            interval,
            next: interval,
            series: Vec::new(),
            processes: Vec::new(),
            probes: Vec::new(),
            audit: Vec::new(),
            problems: Vec::new(),
            absent: Vec::new(),
        }
    }

    /// The exemplars of all series.
    pub fn exemplars(&self) -> impl Iterator<Item = &Exemplar> {
        self.series.iter().filter_map(|series| match &series.value {
            Point::Histogram(histogram) => histogram.exemplar.as_deref(),
            Point::Number(_) => None,
        })
    }

    /// Why there are no processes, where the probe that measures them does not run.
    pub fn no_processes(&self) -> Option<String> {
        let status = self.probes.iter().find(|status| status.probe == "sched")?;
        match status.state {
            ProbeState::Active | ProbeState::Degraded => None,
            ProbeState::Disabled => Some("the sched probe is off".to_owned()),
            ProbeState::Failed => status.reason.clone(),
        }
    }
}

/// One time series.
#[derive(Clone, Debug)]
pub struct Series {
    /// What it measures.
    pub metric: &'static MetricDesc,
    /// What tells it apart, its group's attributes included.
    pub attributes: Attributes,
    /// Since when it counts.
    pub start: SystemTime,
    /// Its present value, in the metric's unit.
    pub value: Point,
    /// Whether it has what evicted series counted.
    pub is_evicted: bool,
}

/// The present value of a series.
#[derive(Clone, Debug)]
pub enum Point {
    /// A counter or a gauge.
    Number(f64),
    /// A histogram.
    Histogram(Histogram),
}

/// A cumulative exponential histogram of durations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// How much coarser than scale 3 it is.
    pub shift: u32,
    /// Exact sum in nanoseconds.
    pub sum_ns: u128,
    /// Durations by slot, see [`hist::slot_index`]; slot 0 is the zero bucket.
    pub slots: Vec<u64>,
    /// The slowest of the last tick that had slow ones.
    pub exemplar: Option<Arc<Exemplar>>,
}

/// One of the durations that a histogram counts.
#[derive(Debug, PartialEq, Eq)]
pub struct Exemplar {
    /// The tick it was told in, see [`View::tick`].
    pub tick: u64,
    /// When it ended.
    pub time: SystemTime,
    /// How long it was.
    pub latency: Duration,
    /// Who waited.
    pub attributes: Attributes,
}

impl Histogram {
    /// One of durations of a scale `shift` coarser than 3, with none in it.
    pub fn empty(shift: u32) -> Self {
        Self { shift, sum_ns: 0, slots: Vec::new(), exemplar: None }
    }

    /// OpenTelemetry scale, Prometheus schema.
    pub fn scale(&self) -> i32 {
        hist::SCALE as i32 - self.shift as i32
    }

    /// Number of durations.
    pub fn count(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Sum in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }

    /// Durations of exactly zero.
    pub fn zeros(&self) -> u64 {
        self.slots.first().copied().unwrap_or(0)
    }

    /// OpenTelemetry bucket index and count of each bucket that is not empty, lowest first. The
    /// index of a Prometheus native bucket is one higher.
    pub fn buckets(&self) -> impl Iterator<Item = (i32, u64)> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0)
            .filter_map(|(slot, count)| Some((hist::slot_index(slot, self.shift)?, *count)))
    }

    /// The `q`-quantile in seconds: the upper bound of the bucket it lies in; `None` when empty.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let rank = (q * self.count() as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let slot = self.slots.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(hist::slot_index(slot, self.shift).map_or(0.0, |index| self.upper_bound(index)))
    }

    /// The upper bound of a bucket, in seconds.
    pub fn upper_bound(&self, index: i32) -> f64 {
        (f64::from(index + 1) * 2f64.powi(-self.scale())).exp2()
    }
}

/// What one process did in the last tick.
#[derive(Clone, Debug, Serialize)]
pub struct ProcessRow {
    /// Process id.
    pub pid: u32,
    /// Name of the executable, as in the group's attributes.
    pub name: String,
    /// The container it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The systemd unit it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd_unit: Option<String>,
    /// On-CPU time as a share of one CPU.
    pub cpu: f64,
    /// Times it was given a CPU.
    pub runs: u64,
    /// Time its threads waited for a CPU, in seconds, without that in which they were throttled.
    pub runqueue_seconds: f64,
    /// Half of the waits for a CPU were at most this long, in seconds.
    pub runqueue_p50: f64,
    /// 99 % of the waits for a CPU were at most this long, in seconds.
    pub runqueue_p99: f64,
    /// Time its threads were throttled by a CPU quota, in seconds, of those that came back.
    pub throttled_seconds: f64,
    /// Time its threads were blocked, in seconds, of those that came back.
    pub offcpu_seconds: f64,
    /// Context switches.
    pub switches: u64,
}

/// How a probe does.
#[derive(Clone, Debug, Serialize)]
pub struct ProbeStatus {
    /// The probe.
    pub probe: &'static str,
    /// In what state it is.
    pub state: ProbeState,
    /// Why it is not active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What came of its hooks.
    pub hooks: Vec<Verdict>,
}

/// The states of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeState {
    /// All hooks are attached.
    Active,
    /// It measures, though not everything.
    Degraded,
    /// It measures nothing.
    Failed,
    /// It was turned off.
    Disabled,
}

/// What a probe counted in the last round of the self-audit, beside the kernel's own counter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRow {
    /// The probe.
    pub probe: &'static str,
    /// What is counted.
    pub counter: &'static str,
    /// The device, of what is counted by device.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub device: String,
    /// What the probe counted.
    pub measured: u64,
    /// What the kernel counted.
    pub reference: u64,
    /// The kernel's file.
    pub source: &'static str,
    /// The least that may be measured, in parts of what the kernel counts.
    pub at_least: f64,
    /// The most, if that is bounded.
    pub at_most: Option<f64>,
    /// Whether both agree.
    pub result: AuditResult,
    /// Rounds in a row that deviated.
    pub deviating_rounds: u32,
}

/// Whether what was measured agrees with the kernel's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AuditResult {
    /// Within the tolerance.
    Agrees,
    /// Beyond the tolerance.
    Deviates,
    /// Too little happened to say.
    TooLittle,
}

impl AuditRow {
    /// Measured growth over the kernel's; none when the kernel counted nothing.
    pub fn ratio(&self) -> Option<f64> {
        (self.reference > 0).then(|| self.measured as f64 / self.reference as f64)
    }
}

impl Display for AuditRow {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { counter, device, measured, reference, source, .. } = self;
        let of = if device.is_empty() { "" } else { " of " };
        write!(f, "{counter}{of}{device}: measured {measured}, {source} counted {reference}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(shift: u32, durations: &[u64]) -> Histogram {
        let mut slots = vec![0; hist::FINE_SLOTS];
        for ns in durations {
            slots[hist::slot(*ns) >> shift] += 1;
        }
        let sum_ns = durations.iter().map(|ns| u128::from(*ns)).sum();
        Histogram { sum_ns, slots, ..Histogram::empty(shift) }
    }

    #[test]
    fn quantiles_are_the_upper_bounds_of_their_buckets() {
        // 1 s is the upper bound of its bucket at every scale.
        for shift in [0, 2] {
            let histogram = histogram(shift, &[1_000_000_000; 3]);
            assert_eq!(histogram.quantile(0.5), Some(1.0));
            assert_eq!(histogram.count(), 3);
            assert_eq!(histogram.sum_seconds(), 3.0);
        }
        let histogram = histogram(0, &[0, 0, 250_000_000, 500_000_001]);
        assert_eq!(histogram.quantile(0.0), Some(0.0));
        assert_eq!(histogram.quantile(0.5), Some(0.0));
        assert_eq!(histogram.quantile(0.75), Some(0.25));
        assert_eq!(histogram.quantile(1.0), Some(0.5 * 2f64.powf(0.125)));
        assert_eq!(histogram.zeros(), 2);
        assert_eq!(histogram.buckets().collect::<Vec<_>>(), [(-17, 1), (-8, 1)]);
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert_eq!(histogram(0, &[]).quantile(0.5), None);
    }
}
