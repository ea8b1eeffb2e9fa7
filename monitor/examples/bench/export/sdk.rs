//! The SDK alone: instruments that have the same values, its own reader, its own exporter.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Result;
use monitor::{
    config::Compression,
    metric::{Kind, MetricDesc},
    view::{Histogram, Point, Series},
};
use monitor_common::hist;
use opentelemetry::{
    InstrumentationScope, KeyValue,
    metrics::{Meter, MeterProvider},
};
use opentelemetry_otlp::{MetricExporter, WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::metrics::{
    Aggregation, Instrument, InstrumentKind, PeriodicReader, SdkMeterProvider, Stream,
};

use super::{Export, resource, series::duration};

/// It exports when it is told to.
const NEVER: Duration = Duration::from_secs(24 * 60 * 60);
/// What the SDK has when nothing else is said.
const MAX_BUCKETS: u32 = 160;

pub(crate) fn start(
    sink: SocketAddr,
    compression: Compression,
    series: &[Series],
) -> Result<Export> {
    let exporter = MetricExporter::builder().with_tonic().with_endpoint(format!("http://{sink}"));
    let exporter = match compression {
        Compression::Gzip => exporter.with_compression(opentelemetry_otlp::Compression::Gzip),
        Compression::None => exporter,
    };
    let reader = PeriodicReader::builder(exporter.build()?).with_interval(NEVER).build();
    let provider = SdkMeterProvider::builder()
        .with_resource(resource())
        .with_reader(reader)
        .with_view(of_histograms)
        .build();
    let scope = InstrumentationScope::builder("monitor").with_version(env!("CARGO_PKG_VERSION"));
    let meter = provider.meter_with_scope(scope.build());
    let mut metrics = BTreeMap::<_, (_, Vec<_>)>::new();
    for Series { metric, attributes, value, .. } in series {
        let attributes: Vec<_> =
            attributes.iter().map(|(name, value)| KeyValue::new(name, value.to_owned())).collect();
        let (_, all) = metrics.entry(metric.name).or_insert_with(|| (*metric, Vec::new()));
        all.push((attributes, value.clone()));
    }
    for (metric, series) in metrics.into_values() {
        add(&meter, metric, series);
    }
    Ok(Box::new(move || Ok(provider.force_flush()?)))
}

/// The aggregation of histograms: exponential, at the scale of the groups of ours.
fn of_histograms(instrument: &Instrument) -> Option<Stream> {
    if instrument.kind() != InstrumentKind::Histogram {
        return None;
    }
    let aggregation = Aggregation::Base2ExponentialHistogram {
        max_size: MAX_BUCKETS,
        max_scale: (hist::SCALE - hist::COARSE_SHIFT) as i8,
        record_min_max: true,
    };
    Stream::builder().with_aggregation(aggregation).build().ok()
}

/// Something with its attributes.
type With<T> = (Vec<KeyValue>, T);

/// Adds the instrument of a metric, with its series.
fn add(meter: &Meter, metric: &'static MetricDesc, series: Vec<With<Point>>) {
    match metric.kind {
        Kind::Counter => {
            let numbers = numbers(series);
            meter
                .f64_observable_counter(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.help)
                .with_callback(move |to| numbers.iter().for_each(|(at, it)| to.observe(*it, at)))
                .build();
        }
        Kind::Gauge | Kind::UpDownCounter => {
            let numbers = numbers(series);
            meter
                .f64_observable_gauge(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.help)
                .with_callback(move |to| numbers.iter().for_each(|(at, it)| to.observe(*it, at)))
                .build();
        }
        Kind::Histogram => {
            let instrument = meter
                .f64_histogram(metric.name)
                .with_unit(metric.unit)
                .with_description(metric.help)
                .build();
            for (attributes, value) in series {
                let Point::Histogram(histogram) = value else { continue };
                durations(&histogram).for_each(|it| instrument.record(it, &attributes));
            }
        }
    }
}

/// The values of counters and gauges.
fn numbers(series: Vec<With<Point>>) -> Vec<With<f64>> {
    let numbers = series.into_iter().filter_map(|(attributes, value)| match value {
        Point::Number(value) => Some((attributes, value)),
        Point::Histogram(_) => None,
    });
    numbers.collect()
}

/// The durations of a histogram, one by one, in seconds.
fn durations(histogram: &Histogram) -> impl Iterator<Item = f64> {
    let counts = histogram.buckets().map(|(_, count)| count);
    (0..).zip(counts).flat_map(|(bucket, count)| {
        let seconds = duration(bucket) as f64 / 1e9;
        (0..count).map(move |_| seconds)
    })
}
