//! 10,000 series like those of a real daemon.
//!
//! The one of this project's build machine, minutes old, had 875: of each 100 were 61 counters, 21 gauges and
//! 18 histograms; of those of groups, which many groups make many, 69, 2 and 28. Half of the histograms
//! had 3 buckets that were not empty, a quarter 10 or more, a tenth 14 or more, and one in a hundred 24.
//! Most series had two attributes.

use std::{iter, time::SystemTime};

use monitor::{
    metric::{Kind, MetricDesc, catalogue},
    sample::Attributes,
    view::{Histogram, Point, Series},
};
use monitor_common::hist;

/// Groups, each with a series of each metric.
const GROUPS: u32 = 125;
/// Metrics of each kind.
const COUNTERS: usize = 48;
const GAUGES: usize = 12;
const HISTOGRAMS: usize = 20;
/// How many buckets of a histogram are not empty: of one after the other in turn.
const BUCKETS: [u32; 6] = [1, 2, 3, 10, 14, 24];
/// The shortest duration, in nanoseconds.
const SHORTEST: f64 = 10_000.0;
/// What the numbers are below.
const LARGEST: f64 = 1e6;

const _: () = assert!(GROUPS as usize * (COUNTERS + GAUGES + HISTOGRAMS) == 10_000);

/// The series.
pub(crate) fn many() -> Vec<Series> {
    let kinds = [(Kind::Counter, COUNTERS), (Kind::Gauge, GAUGES), (Kind::Histogram, HISTOGRAMS)];
    let metrics = kinds
        .into_iter()
        .flat_map(|(kind, count)| catalogue().filter(move |it| it.kind == kind).take(count));
    let mut random = random();
    let start = SystemTime::now();
    let series = metrics.flat_map(|metric| (0..GROUPS).map(move |group| (metric, group)));
    series
        .enumerate()
        .map(|(number, (metric, group))| Series {
            metric,
            attributes: attributes(group),
            start,
            value: value(metric, BUCKETS[number % BUCKETS.len()], &mut random),
            is_evicted: false,
        })
        .collect()
}

/// How many series there are, with how many durations and how many buckets that are not empty.
pub(crate) fn contents(series: &[Series]) -> (usize, u64, usize) {
    let histograms = series.iter().filter_map(|series| match &series.value {
        Point::Histogram(histogram) => Some(histogram),
        Point::Number(_) => None,
    });
    histograms.fold((series.len(), 0, 0), |(series, durations, buckets), histogram| {
        (series, durations + histogram.count(), buckets + histogram.buckets().count())
    })
}

/// The duration in nanoseconds that is in the middle of a bucket of [`value`].
pub(crate) fn duration(bucket: u32) -> u64 {
    (SHORTEST * 2f64.powf(f64::from(bucket) / 2.0)) as u64
}

fn attributes(group: u32) -> Attributes {
    Attributes::new([
        ("process.executable.name", format!("program-{group}")),
        ("systemd.unit", format!("service-{group}.service")),
    ])
}

fn value(metric: &MetricDesc, buckets: u32, random: &mut impl Iterator<Item = f64>) -> Point {
    let mut next = |below: f64| random.next().unwrap_or_default() * below;
    if metric.kind != Kind::Histogram {
        let number = next(LARGEST);
        let is_count = metric.kind == Kind::Counter && metric.unit != "s";
        return Point::Number(if is_count { number.floor() } else { number });
    }
    let (mut slots, mut sum_ns) = (vec![0; hist::COARSE_SLOTS], 0);
    for duration in (0..buckets).map(duration) {
        let count = 1 + next(200.0) as u64;
        slots[hist::coarse(hist::slot(duration))] += count;
        sum_ns += u128::from(duration * count);
    }
    Point::Histogram(Histogram { sum_ns, slots, ..Histogram::empty(hist::COARSE_SHIFT) })
}

/// Numbers from 0 to 1, the same each time.
fn random() -> impl Iterator<Item = f64> {
    let next = |state: &u64| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    };
    iter::successors(Some(1), next).map(|state| (state >> 32) as f64 / f64::from(u32::MAX))
}
