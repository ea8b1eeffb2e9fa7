//! The protobuf exposition: the messages of `io.prometheus.client` that are needed, with the field
//! numbers of Prometheus' metrics.proto. The `prometheus` crate knows no native histograms.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::proto;
use prost::Message;

use super::{
    super::{exemplars::Newest, instruments::Pinned, name::metric_name},
    histogram,
};
use crate::{
    metric::MetricDesc,
    sample::Attributes,
    view::{self, Series},
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
    pub(super) gauge: Option<Value>,
    #[prost(message, optional, tag = "3")]
    pub(super) counter: Option<Value>,
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

/// `Counter` and `Gauge`, which are alike in what is used of them.
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct Value {
    #[prost(double, tag = "1")]
    pub(super) value: f64,
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

/// The exposition: the counters and gauges that were gathered, and the histograms of the view with
/// all their buckets. Of exemplars, those that `newest` admits.
pub(super) fn encode(gathered: &[proto::MetricFamily], view: &Pinned, newest: Newest) -> Vec<u8> {
    let numbers = gathered
        .iter()
        .filter(|family| family.get_field_type() != proto::MetricType::HISTOGRAM)
        .map(number_family);
    let histograms = histogram::metrics().map(|metric| histogram_family(metric, view, newest));
    let mut body = Vec::new();
    for family in numbers.chain(histograms).filter(|family| !family.metric.is_empty()) {
        body.extend(family.encode_length_delimited_to_vec());
    }
    body
}

fn number_family(family: &proto::MetricFamily) -> MetricFamily {
    let counts = family.get_field_type() == proto::MetricType::COUNTER;
    let metric = family.get_metric().iter().map(|metric| {
        let label = metric.get_label().iter().map(|label| LabelPair {
            name: label.name().to_owned(),
            value: label.value().to_owned(),
        });
        let (gauge, counter) = if counts {
            (None, Some(Value { value: metric.get_counter().get_value() }))
        } else {
            (Some(Value { value: metric.get_gauge().get_value() }), None)
        };
        Metric { label: label.collect(), gauge, counter, histogram: None }
    });
    MetricFamily {
        name: family.name().to_owned(),
        help: family.help().to_owned(),
        r#type: if counts { MetricType::Counter } else { MetricType::Gauge }.into(),
        metric: metric.collect(),
    }
}

fn histogram_family(metric: &MetricDesc, view: &Pinned, newest: Newest) -> MetricFamily {
    let points = histogram::series(metric, view).map(|(series, histogram)| Metric {
        label: labels(&series.attributes),
        gauge: None,
        counter: None,
        histogram: Some(both_forms(series, histogram, newest)),
    });
    MetricFamily {
        name: metric_name(metric),
        help: metric.help.to_owned(),
        r#type: MetricType::Histogram.into(),
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
