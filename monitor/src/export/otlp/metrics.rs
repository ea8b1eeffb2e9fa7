//! A view as OTLP requests.
//!
//! They are made straight from the view, which has all that a data point needs: the SDK takes no
//! histograms that are counted already, and its copies of all others would have to be taken apart.

use std::time::SystemTime;

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{
        AggregationTemporality, Exemplar, ExponentialHistogram, ExponentialHistogramDataPoint,
        Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar,
        exponential_histogram_data_point::Buckets, metric::Data, number_data_point,
    },
    resource::v1::Resource,
};
use prost::Message;

use super::{
    super::exemplars::Newest,
    value::{attributes, nanoseconds, scope},
};
use crate::{
    config::Temporality,
    metric::{Kind, MetricDesc},
    view::{self, Histogram, Point, Series, View},
};

/// A request, encoded.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The message.
    pub(super) message: Bytes,
    /// How many data points are in it.
    pub(super) points: u64,
    /// Whether the receiver may have it, as an earlier attempt ended without an outcome.
    pub(super) in_doubt: bool,
}

/// What a receiver has.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// The last tick that was sent.
    pub(super) tick: u64,
    exemplars: Newest,
}

impl Sent {
    /// Notes that a view was taken.
    pub(super) fn taken(&mut self, view: &View) {
        self.exemplars.note(view.exemplars());
    }

    fn lacks(&self, exemplar: &view::Exemplar) -> bool {
        exemplar.tick > self.tick && self.exemplars.admits(exemplar)
    }
}

/// What one more length and tag around a message takes at most.
const FRAME: usize = 6;

/// Requests with all series of a view, none of which is larger than `limit` bytes, and with the examples
/// that came after what was `sent`. Made one by one, as they are asked for.
pub(super) fn requests(
    view: &View,
    sent: Sent,
    temporality: Temporality,
    resource: Resource,
    limit: usize,
) -> impl Iterator<Item = Request> {
    let times = (view.time, sent);
    let mut rest = view.series.as_slice();
    let envelope = resource.encoded_len() + scope().encoded_len() + 4 * FRAME;
    std::iter::from_fn(move || {
        let mut metrics = Vec::<Metric>::new();
        let (mut points, mut size) = (0, envelope);
        while let Some((series, others)) = rest.split_first() {
            let point = DataPoint::new(series, times);
            let is_new = metrics.last().is_none_or(|metric| metric.name != series.metric.name);
            let empty = is_new.then(|| without_points(series.metric, temporality));
            let head = empty.as_ref().map_or(0, Message::encoded_len);
            let more = head + point.encoded_len() + 3 * FRAME;
            if points > 0 && size + more > limit {
                break;
            }
            metrics.extend(empty);
            if let Some(data) = metrics.last_mut().and_then(|metric| metric.data.as_mut()) {
                point.add_to(data);
            }
            (points, size, rest) = (points + 1, size + more, others);
        }
        (points > 0).then(|| {
            let message = encode(metrics, &resource);
            Request { message, points, in_doubt: false }
        })
    })
}

fn encode(metrics: Vec<Metric>, resource: &Resource) -> Bytes {
    let scope_metrics =
        vec![ScopeMetrics { scope: Some(scope()), metrics, schema_url: String::new() }];
    let resource = Some(resource.clone());
    let of_resource = ResourceMetrics { resource, scope_metrics, schema_url: String::new() };
    ExportMetricsServiceRequest { resource_metrics: vec![of_resource] }.encode_to_vec().into()
}

/// A metric without data points.
fn without_points(metric: &MetricDesc, temporality: Temporality) -> Metric {
    let aggregation_temporality = match temporality.is_delta(metric.kind) {
        true => AggregationTemporality::Delta.into(),
        false => AggregationTemporality::Cumulative.into(),
    };
    let sum = |is_monotonic| Sum { aggregation_temporality, is_monotonic, ..Sum::default() };
    Metric {
        name: metric.name.to_owned(),
        description: metric.help.to_owned(),
        unit: metric.unit.to_owned(),
        data: Some(match metric.kind {
            Kind::Counter => Data::Sum(sum(true)),
            Kind::UpDownCounter => Data::Sum(sum(false)),
            Kind::Gauge => Data::Gauge(Gauge::default()),
            Kind::Histogram => Data::ExponentialHistogram(ExponentialHistogram {
                aggregation_temporality,
                ..ExponentialHistogram::default()
            }),
        }),
        ..Metric::default()
    }
}

/// A series at one time.
#[derive(Debug)]
enum DataPoint {
    Number(NumberDataPoint),
    Histogram(ExponentialHistogramDataPoint),
}

impl DataPoint {
    fn new(series: &Series, times: (SystemTime, Sent)) -> Self {
        match &series.value {
            Point::Number(value) => Self::Number(number(series, *value, times.0)),
            Point::Histogram(value) => Self::Histogram(histogram(series, value, times)),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::Number(point) => point.encoded_len(),
            Self::Histogram(point) => point.encoded_len(),
        }
    }

    fn add_to(self, data: &mut Data) {
        match (data, self) {
            (Data::Sum(Sum { data_points, .. }), Self::Number(point)) => data_points.push(point),
            (Data::Gauge(gauge), Self::Number(mut point)) => {
                // It says how things are, whatever was before.
                point.start_time_unix_nano = 0;
                gauge.data_points.push(point);
            }
            (Data::ExponentialHistogram(histogram), Self::Histogram(point)) => {
                histogram.data_points.push(point);
            }
            (data, point) => debug_assert!(false, "{point:?} is none of {data:?}"),
        }
    }
}

fn number(series: &Series, value: f64, time: SystemTime) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(&series.attributes),
        start_time_unix_nano: nanoseconds(series.start),
        time_unix_nano: nanoseconds(time),
        value: Some(number_data_point::Value::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

/// The kernel counts no extremes: `min` and `max` are the bounds of the lowest and the highest bucket
/// that is not empty, so that all durations lie between them.
fn histogram(
    series: &Series,
    histogram: &Histogram,
    (time, sent): (SystemTime, Sent),
) -> ExponentialHistogramDataPoint {
    let lowest = histogram.buckets().next().map(|(index, _)| index);
    let highest = histogram.buckets().last().map(|(index, _)| index);
    let zero = (histogram.zeros() > 0).then_some(0.0);
    ExponentialHistogramDataPoint {
        attributes: attributes(&series.attributes),
        start_time_unix_nano: nanoseconds(series.start),
        time_unix_nano: nanoseconds(time),
        count: histogram.count(),
        sum: Some(histogram.sum_seconds()),
        scale: histogram.scale(),
        zero_count: histogram.zeros(),
        positive: lowest.map(|offset| buckets(histogram, offset)),
        min: zero.or_else(|| Some(histogram.upper_bound(lowest? - 1))),
        max: highest.map(|index| histogram.upper_bound(index)).or(zero),
        exemplars: histogram
            .exemplar
            .iter()
            .filter(|it| sent.lacks(it))
            .map(|it| example(it))
            .collect(),
        ..ExponentialHistogramDataPoint::default()
    }
}

fn example(exemplar: &view::Exemplar) -> Exemplar {
    Exemplar {
        filtered_attributes: attributes(&exemplar.attributes),
        time_unix_nano: nanoseconds(exemplar.time),
        value: Some(exemplar::Value::AsDouble(exemplar.latency.as_secs_f64())),
        ..Exemplar::default()
    }
}

/// The buckets from the first that is not empty to the last.
fn buckets(histogram: &Histogram, offset: i32) -> Buckets {
    let mut bucket_counts = Vec::new();
    for (index, count) in histogram.buckets() {
        bucket_counts.resize((index - offset) as usize, 0);
        bucket_counts.push(count);
    }
    Buckets { offset, bucket_counts }
}
