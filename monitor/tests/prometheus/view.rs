//! Made-up views.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use monitor::{
    metric::{
        Kind, MetricDesc, PROCESS_RUNQUEUE_LATENCY, SCHED_OFFCPU_LATENCY, SCHED_RUNQUEUE_LATENCY,
        catalogue,
    },
    sample::Attributes,
    view::{Histogram, Point, Series, View},
};
use monitor_common::hist;

/// A view with two series of every metric that has attributes, and one of every other.
pub(crate) fn of_everything() -> Arc<View> {
    let series = catalogue().flat_map(|metric| {
        let group = ["process.executable.name", "container.id", "systemd.unit"];
        let names: Vec<_> = group
            .into_iter()
            .filter(|_| metric.name.starts_with("monitor.process."))
            .chain(metric.attributes.iter().copied())
            .collect();
        let count = if names.is_empty() { 1 } else { 2 };
        (0..count).map(move |i| {
            let pairs = names.iter().map(|name| (*name, format!("value {i}")));
            let value = match metric.kind {
                Kind::Histogram => histogram(&durations(), 0),
                _ => Point::Number(1.5),
            };
            series(metric, Attributes::new(pairs), value)
        })
    });
    view(series.collect())
}

/// A view of [`durations`], for the host and for a group, and of a histogram that is empty.
pub(crate) fn of_durations() -> Arc<View> {
    let group = Attributes::new([("process.executable.name", "web")]);
    let coarse = histogram(&durations(), hist::COARSE_SHIFT);
    view(vec![
        series(&PROCESS_RUNQUEUE_LATENCY, group, coarse),
        series(&SCHED_RUNQUEUE_LATENCY, Attributes::default(), histogram(&durations(), 0)),
        series(&SCHED_OFFCPU_LATENCY, Attributes::default(), histogram(&[], 0)),
    ])
}

/// Durations in nanoseconds from 2 us to 1 s, spread evenly over their orders of magnitude and
/// sorted.
pub(crate) fn durations() -> Vec<u64> {
    (0..10_000)
        .map(|i| 2_000.0 * 500_000f64.powf(f64::from(i) / 10_000.0))
        .map(|ns| ns as u64)
        .collect()
}

fn histogram(durations: &[u64], shift: u32) -> Point {
    let mut slots = vec![0; (hist::FINE_SLOTS >> shift) + 1];
    for ns in durations {
        slots[hist::slot(*ns) >> shift] += 1;
    }
    let sum_ns = durations.iter().map(|ns| u128::from(*ns)).sum();
    Point::Histogram(Histogram { sum_ns, slots, ..Histogram::empty(shift) })
}

fn series(metric: &'static MetricDesc, attributes: Attributes, value: Point) -> Series {
    Series { metric, attributes, start: SystemTime::now(), value, is_evicted: false }
}

fn view(series: Vec<Series>) -> Arc<View> {
    Arc::new(View { tick: 1, series, ..View::empty(Duration::from_secs(1)) })
}
