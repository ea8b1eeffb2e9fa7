//! The kernel's histograms as Prometheus has them: classic, with the same bounds for all, and
//! native, bucket for bucket.

use std::{collections::HashMap, sync::Arc};

use prometheus::{core::Desc, proto};

use super::{
    super::{
        instruments::{Pinned, Source},
        name::{label_name, metric_name},
    },
    wire::BucketSpan,
};
use crate::{
    metric::{Kind, MetricDesc, catalogue},
    sample::Attributes,
    view::{Histogram, Point, Series},
};

/// Collects classic histograms from the pinned view.
pub(super) struct Collector {
    source: Arc<Source>,
    descs: Vec<Desc>,
}

impl Collector {
    /// A collector of every histogram of the catalogue.
    pub(super) fn new(source: Arc<Source>) -> prometheus::Result<Self> {
        let descs = metrics()
            .map(|metric| {
                Desc::new(metric_name(metric), metric.help.to_owned(), Vec::new(), HashMap::new())
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { source, descs })
    }
}

impl prometheus::core::Collector for Collector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let view = self.source.pinned();
        metrics().map(|metric| classic_family(metric, &view)).collect()
    }
}

/// The histograms of the catalogue.
pub(super) fn metrics() -> impl Iterator<Item = &'static MetricDesc> {
    catalogue().filter(|metric| metric.kind == Kind::Histogram)
}

/// The series of a histogram.
pub(super) fn series<'a>(
    metric: &MetricDesc,
    view: &'a Pinned,
) -> impl Iterator<Item = (&'a Series, &'a Histogram)> {
    view.series(metric).iter().filter_map(|series| match &series.value {
        Point::Histogram(histogram) => Some((series, histogram)),
        Point::Number(_) => None,
    })
}

/// Labels, ordered by name as the exporter of the counters and gauges orders them.
pub(super) fn labels(attributes: &Attributes) -> Vec<(String, &str)> {
    let mut labels: Vec<_> =
        attributes.iter().map(|(name, value)| (label_name(name), value)).collect();
    labels.sort_unstable();
    labels
}

/// The bounds of classic buckets as powers of two, in seconds: from 0.95 us to 32 s. A whole power
/// of two is the bound of a bucket at every scale from 0, so counts at these are exact.
const BOUNDS: std::ops::RangeInclusive<i32> = -20..=5;

/// Each bound of the classic buckets, in seconds, and how many durations were at most as long.
pub(super) fn cumulative(histogram: &Histogram) -> impl Iterator<Item = (f64, u64)> {
    let scale = histogram.scale();
    let mut buckets = histogram.buckets().peekable();
    let mut count = histogram.zeros();
    BOUNDS.map(move |exponent| {
        // Bucket `index` ends at 2^((index + 1) / 2^scale) seconds.
        while let Some((_, more)) = buckets.next_if(|(index, _)| *index < exponent << scale) {
            count += more;
        }
        (f64::from(exponent).exp2(), count)
    })
}

/// The buckets of a native histogram: runs of buckets with something in them, and by how much the
/// count of each bucket differs from that of the one before.
pub(super) fn native(histogram: &Histogram) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<BucketSpan>::new(), Vec::new());
    let (mut next, mut last) = (0, 0);
    for (index, count) in histogram.buckets() {
        // Prometheus numbers a bucket by its upper bound, OpenTelemetry by its lower.
        let index = index + 1;
        match spans.last_mut() {
            Some(span) if index == next => span.length += 1,
            _ => spans.push(BucketSpan { offset: index - next, length: 1 }),
        }
        deltas.push(count.wrapping_sub(last).cast_signed());
        (next, last) = (index + 1, count);
    }
    (spans, deltas)
}

fn classic_family(metric: &MetricDesc, view: &Pinned) -> proto::MetricFamily {
    let points = series(metric, view).map(|(series, histogram)| {
        let mut point = proto::Metric::from_label(
            labels(&series.attributes)
                .into_iter()
                .map(|(name, value)| label(name, value))
                .collect(),
        );
        point.set_histogram(classic(histogram));
        point
    });
    let mut family = proto::MetricFamily::default();
    family.set_name(metric_name(metric));
    family.set_help(metric.help.to_owned());
    family.set_field_type(proto::MetricType::HISTOGRAM);
    family.set_metric(points.collect());
    family
}

pub(super) fn label(name: String, value: &str) -> proto::LabelPair {
    let mut label = proto::LabelPair::default();
    label.set_name(name);
    label.set_value(value.to_owned());
    label
}

fn classic(histogram: &Histogram) -> proto::Histogram {
    let buckets = cumulative(histogram).map(|(bound, count)| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(bound);
        bucket.set_cumulative_count(count);
        bucket
    });
    let mut classic = proto::Histogram::default();
    classic.set_bucket(buckets.collect());
    classic.set_sample_count(histogram.count());
    classic.set_sample_sum(histogram.sum_seconds());
    classic
}
