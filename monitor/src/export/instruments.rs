//! Counters and gauges as OpenTelemetry instruments: one for each metric of the catalogue, which
//! observe the series of a view when a reader asks.
//!
//! Each reader has a meter provider of its own. In one provider, a reader's callbacks would also
//! write into the storage of all other readers, and these would keep series that are long gone.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, PoisonError, RwLock},
};

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter, MeterProvider},
};
use opentelemetry_sdk::{
    Resource,
    metrics::{Instrument, SdkMeterProvider, Stream, reader::MetricReader},
};
use tokio::sync::watch;

use crate::{
    metric::{Kind, MetricDesc, catalogue},
    sample::Attributes,
    view::{Exemplar, Point, Series, View},
};

/// How many series one instrument may have. The SDK folds what is more into one series with the
/// attribute `otel.metric.overflow`; its own limit is 2,000.
const MAX_SERIES: usize = 1 << 16;

/// Where instruments take their values from: the view that was last pinned, so that all of them
/// and the histograms beside them tell of the same moment.
#[derive(Debug)]
pub(super) struct Source {
    views: watch::Receiver<Arc<View>>,
    pinned: RwLock<Arc<Pinned>>,
}

impl Source {
    /// A source that follows the published views.
    pub(super) fn new(views: watch::Receiver<Arc<View>>) -> Arc<Self> {
        let pinned = Pinned::new(views.borrow().clone());
        Arc::new(Self { views, pinned: RwLock::new(Arc::new(pinned)) })
    }

    /// Pins the latest view. A reader does this before it collects.
    pub(super) fn pin(&self) -> Arc<Pinned> {
        let latest = self.views.borrow().clone();
        let mut pinned = self.pinned.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&pinned.view, &latest) {
            *pinned = Arc::new(Pinned::new(latest));
        }
        pinned.clone()
    }

    /// The pinned view.
    pub(super) fn pinned(&self) -> Arc<Pinned> {
        self.pinned.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A view with an index of its series.
#[derive(Debug)]
pub(super) struct Pinned {
    view: Arc<View>,
    ranges: HashMap<&'static str, Range<usize>>,
}

impl Pinned {
    fn new(view: Arc<View>) -> Self {
        let mut ranges = HashMap::new();
        let mut start = 0;
        for series in view.series.chunk_by(|a, b| a.metric.name == b.metric.name) {
            let end = start + series.len();
            let earlier = ranges.insert(series[0].metric.name, start..end);
            debug_assert!(earlier.is_none(), "the series of a view are ordered by metric");
            start = end;
        }
        Self { view, ranges }
    }

    /// The exemplars of all series.
    pub(super) fn exemplars(&self) -> impl Iterator<Item = &Exemplar> {
        self.view.exemplars()
    }

    /// The series of a metric.
    pub(super) fn series(&self, metric: &MetricDesc) -> &[Series] {
        let range = self.ranges.get(metric.name).cloned();
        range.and_then(|range| self.view.series.get(range)).unwrap_or_default()
    }
}

/// A meter provider whose one reader reads the pinned view of the source, under the names and units
/// it wants.
pub(super) fn provider(
    resource: Resource,
    reader: impl MetricReader,
    source: &Arc<Source>,
    describe: fn(&MetricDesc) -> (&'static str, &'static str),
) -> SdkMeterProvider {
    let provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_reader(reader)
        .with_view(|_: &Instrument| {
            Stream::builder().with_cardinality_limit(MAX_SERIES).build().ok()
        })
        .build();
    let meter = provider.meter("monitor");
    for metric in catalogue() {
        register(&meter, metric, describe(metric), source.clone());
    }
    provider
}

fn register(
    meter: &Meter,
    metric: &'static MetricDesc,
    (name, unit): (&'static str, &'static str),
    source: Arc<Source>,
) {
    let observe = move |instrument: &dyn AsyncInstrument<f64>| {
        for series in source.pinned().series(metric) {
            if let Point::Number(value) = series.value {
                instrument.observe(value, &key_values(&series.attributes));
            }
        }
    };
    // The macro is for what the three builders have in common but no trait.
    macro_rules! build {
        ($builder:ident) => {
            meter
                .$builder(name)
                .with_unit(unit)
                .with_description(metric.help)
                .with_callback(observe)
                .build()
        };
    }
    match metric.kind {
        Kind::Counter => drop(build!(f64_observable_counter)),
        Kind::UpDownCounter => drop(build!(f64_observable_up_down_counter)),
        Kind::Gauge => drop(build!(f64_observable_gauge)),
        // The SDK cannot take histograms that are counted already: each exporter adds them itself.
        Kind::Histogram => {}
    }
}

/// Attributes as the SDK wants them. It keeps series that come sorted once, and others twice.
fn key_values(attributes: &Attributes) -> Vec<KeyValue> {
    let mut pairs: Vec<_> =
        attributes.iter().map(|(name, value)| KeyValue::new(name, value.to_owned())).collect();
    pairs.sort_unstable_by(|a, b| a.key.cmp(&b.key));
    pairs
}
