//! Views to export in tests.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use monitor_common::hist;
use tokio::sync::watch;

use crate::{
    metric::MetricDesc,
    sample::Attributes,
    view::{Histogram, Point, ProcessRow, Series, View},
};

/// A view of a first tick that has just ended, with no probes and no processes.
pub(crate) fn view(series: Vec<Series>) -> View {
    View { tick: 1, series, ..View::empty(Duration::from_secs(1)) }
}

/// Publishes a view.
pub(crate) fn publish(view: View) -> (watch::Sender<Arc<View>>, watch::Receiver<Arc<View>>) {
    watch::channel(Arc::new(view))
}

/// A series of a counter or gauge.
pub(crate) fn number(
    metric: &'static MetricDesc,
    attributes: &[(&'static str, &str)],
    value: f64,
) -> Series {
    series(metric, attributes, Point::Number(value))
}

/// A series of a histogram at scale `3 - shift`.
pub(super) fn histogram(
    metric: &'static MetricDesc,
    attributes: &[(&'static str, &str)],
    shift: u32,
    durations: &[u64],
) -> Series {
    let mut slots = vec![0; (hist::FINE_SLOTS >> shift) + 1];
    for ns in durations {
        slots[hist::slot(*ns) >> shift] += 1;
    }
    let sum_ns = durations.iter().map(|ns| u128::from(*ns)).sum();
    series(
        metric,
        attributes,
        Point::Histogram(Histogram { sum_ns, slots, ..Histogram::empty(shift) }),
    )
}

/// A process that ran.
pub(super) fn process(pid: u32) -> ProcessRow {
    ProcessRow {
        pid,
        name: format!("process-{pid}"),
        container_id: None,
        systemd_unit: Some("test.service".to_owned()),
        cpu: 0.5,
        runs: 100,
        runqueue_seconds: 0.25,
        runqueue_p50: 0.001,
        runqueue_p99: 0.01,
        throttled_seconds: 0.125,
        offcpu_seconds: 0.75,
        switches: 100,
    }
}

fn series(
    metric: &'static MetricDesc,
    attributes: &[(&'static str, &str)],
    value: Point,
) -> Series {
    Series {
        metric,
        attributes: Attributes::new(attributes.iter().copied()),
        start: SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 5),
        value,
        is_evicted: false,
    }
}
