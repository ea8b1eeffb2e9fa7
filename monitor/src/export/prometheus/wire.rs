//! The protobuf exposition: the messages of `io.prometheus.client` that are needed, with the field
//! numbers of Prometheus' metrics.proto. The `prometheus` crate has neither native histograms nor created
//! timestamps.

use std::time::{SystemTime, UNIX_EPOCH};

use prost::Message;

use super::{
    super::{exemplars::Newest, instruments::Pinned, name::metric_name},
    histogram,
};
use crate::{
    metric::{Kind, MetricDesc, catalogue},
    sample::Attributes,
    view::{self, Point, Series},
};

/// How wide the zero bucket is: as in Prometheus' own client libraries. All that is shorter than a
/// nanosecond is zero, and a width that is not 0 tells even an empty native histogram from a
/// classic one.
const ZERO_THRESHOLD: f64 = 1.0 / (1u128 << 127) as f64 / 2.0;

#[derive(Clone, PartialEq, Message)]
pub(super) struct MetricFamily {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) help: String,
    #[prost(enumeration = "MetricType", tag = "3")]
    pub(super) r#type: i32,
    #[prost(message, repeated, tag = "4")]
    pub(super) metric: Vec<Metric>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum MetricType {
    Counter = 0,
    Gauge = 1,
    Histogram = 4,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metric {
    #[prost(message, repeated, tag = "1")]
    pub(super) label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    pub(super) gauge: Option<Gauge>,
    #[prost(message, optional, tag = "3")]
    pub(super) counter: Option<Counter>,
    #[prost(message, optional, tag = "7")]
    pub(super) histogram: Option<Histogram>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LabelPair {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Gauge {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Counter {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
    #[prost(message, optional, tag = "3")]
    pub(super) created_timestamp: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Histogram {
    #[prost(uint64, tag = "1")]
    pub(super) sample_count: u64,
    #[prost(double, tag = "2")]
    pub(super) sample_sum: f64,
    #[prost(message, repeated, tag = "3")]
    pub(super) bucket: Vec<Bucket>,
    #[prost(sint32, tag = "5")]
    pub(super) schema: i32,
    #[prost(double, tag = "6")]
    pub(super) zero_threshold: f64,
    #[prost(uint64, tag = "7")]
    pub(super) zero_count: u64,
    #[prost(message, repeated, tag = "12")]
    pub(super) positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, tag = "13")]
    pub(super) positive_delta: Vec<i64>,
    #[prost(message, optional, tag = "15")]
    pub(super) created_timestamp: Option<Timestamp>,
    /// Those of the native form, which must have timestamps.
    #[prost(message, repeated, tag = "16")]
    pub(super) exemplars: Vec<Exemplar>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub(super) label: Vec<LabelPair>,
    #[prost(double, tag = "2")]
    pub(super) value: f64,
    #[prost(message, optional, tag = "3")]
    pub(super) timestamp: Option<Timestamp>,
}

#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Bucket {
    #[prost(uint64, tag = "1")]
    pub(super) cumulative_count: u64,
    #[prost(double, tag = "2")]
    pub(super) upper_bound: f64,
}

/// A run of buckets without a gap.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct BucketSpan {
    /// Distance from the end of the span before; for the first, the index of its first bucket.
    #[prost(sint32, tag = "1")]
    pub(super) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(super) length: u32,
}

/// `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub(super) struct Timestamp {
    #[prost(int64, tag = "1")]
    pub(super) seconds: i64,
    #[prost(int32, tag = "2")]
    pub(super) nanos: i32,
}

/// The exposition of a view: `target_info`, then each metric that has series. Of exemplars, those that
/// `newest` admits.
pub(super) fn encode(target_info: MetricFamily, view: &Pinned, newest: Newest) -> Vec<u8> {
    let series = catalogue().map(|metric| (metric, view.series(metric)));
    let present = series.filter(|(_, series)| !series.is_empty());
    let families = present.map(|(metric, series)| family(metric, series, newest));
    let mut body = Vec::new();
    for family in [target_info].into_iter().chain(families) {
        body.extend(family.encode_length_delimited_to_vec());
    }
    body
}

fn family(metric: &MetricDesc, series: &[Series], newest: Newest) -> MetricFamily {
    let r#type = match metric.kind {
        Kind::Counter => MetricType::Counter,
        Kind::UpDownCounter | Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    let points = series.iter().map(|series| {
        let mut point = Metric { label: labels(&series.attributes), ..Metric::default() };
        match (&series.value, r#type) {
            (Point::Histogram(value), _) => {
                point.histogram = Some(both_forms(series, value, newest));
            }
            (Point::Number(value), MetricType::Counter) => {
                let created_timestamp = timestamp(series.start);
                point.counter = Some(Counter { value: *value, created_timestamp });
            }
            (Point::Number(value), _) => point.gauge = Some(Gauge { value: *value }),
        }
        point
    });
    MetricFamily {
        name: metric_name(metric),
        help: metric.help.to_owned(),
        r#type: r#type.into(),
        metric: points.collect(),
    }
}

fn labels(attributes: &Attributes) -> Vec<LabelPair> {
    let labels = histogram::labels(attributes).into_iter();
    labels.map(|(name, value)| LabelPair { name, value: value.to_owned() }).collect()
}

/// A native histogram with the classic buckets beside it: which of them is kept is up to the
/// Prometheus that scrapes.
fn both_forms(series: &Series, histogram: &view::Histogram, newest: Newest) -> Histogram {
    let bucket = histogram::cumulative(histogram)
        .map(|(upper_bound, cumulative_count)| Bucket { cumulative_count, upper_bound });
    let (positive_span, positive_delta) = histogram::native(histogram);
    Histogram {
        sample_count: histogram.count(),
        sample_sum: histogram.sum_seconds(),
        bucket: bucket.collect(),
        schema: histogram.scale(),
        zero_threshold: ZERO_THRESHOLD,
        zero_count: histogram.zeros(),
        positive_span,
        positive_delta,
        created_timestamp: timestamp(series.start),
        exemplars: histogram
            .exemplar
            .iter()
            .filter(|it| newest.admits(it))
            .map(|it| example(it))
            .collect(),
    }
}

fn example(exemplar: &view::Exemplar) -> Exemplar {
    Exemplar {
        label: labels(&exemplar.attributes),
        value: exemplar.latency.as_secs_f64(),
        timestamp: timestamp(exemplar.time),
    }
}

/// A point in time, unless it is before 1970 and thus none that a clock that is set would show.
fn timestamp(time: SystemTime) -> Option<Timestamp> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Timestamp {
        seconds: since.as_secs().try_into().ok()?,
        nanos: since.subsec_nanos().cast_signed(),
    })
}
