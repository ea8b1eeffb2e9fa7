//! What Prometheus has.

use std::{collections::BTreeMap, net::SocketAddr};

use monitor_backends::http;
use serde_json::Value;

use super::otlp::{Histogram, millis, now_ns};

/// A histogram as Prometheus answers it: count, sum, and buckets with their bounds.
#[derive(Clone, Debug)]
pub(crate) struct Native {
    pub(crate) count: u64,
    pub(crate) sum: f64,
    buckets: Vec<(f64, f64, u64)>,
}

/// Samples of one series by their time in milliseconds.
pub(crate) type Samples<T> = BTreeMap<u64, T>;

/// The result of a query: series.
pub(crate) fn query(prometheus: SocketAddr, query: &str) -> Vec<Value> {
    let body = format!("query={}", encoded(query));
    let headers = [("Content-Type", "application/x-www-form-urlencoded")];
    let answer = http::post(prometheus, "/api/v1/query", &headers, body.as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("{query}: {error:#}"));
    let answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
    let Value::Array(series) = &answer["data"]["result"] else { panic!("no result: {answer}") };
    series.clone()
}

/// All samples of the last hour of the only series that a selector selects, none if there is no series.
pub(crate) fn histograms(prometheus: SocketAddr, selector: &str) -> Samples<Native> {
    samples(prometheus, selector, "histograms", |value| {
        let bucket = |bucket: &Value| {
            let bounds = (number(&bucket[1]), number(&bucket[2]));
            // Whose bound on the right alone belongs to it, as OpenTelemetry has it; or that of zero, with both.
            assert!(bucket[0] == 0 || bucket[0] == 3 && bounds.0 <= 0.0, "{value}");
            (bounds.0, bounds.1, count(&bucket[3]))
        };
        let buckets = value["buckets"].as_array().map(Vec::as_slice).unwrap_or_default();
        Native {
            count: count(&value["count"]),
            sum: number(&value["sum"]),
            buckets: buckets.iter().map(bucket).collect(),
        }
    })
}

/// The same of a series of numbers.
pub(crate) fn numbers(prometheus: SocketAddr, selector: &str) -> Samples<f64> {
    samples(prometheus, selector, "values", number)
}

/// The exemplars of the last hour of the series that a selector selects: their labels and values.
pub(crate) fn exemplars(prometheus: SocketAddr, selector: &str) -> Vec<(Value, f64)> {
    let now = millis(now_ns()) / 1000;
    let (start, end) = (now - 3600, now + 60);
    let query = encoded(selector);
    let path = format!("/api/v1/query_exemplars?query={query}&start={start}&end={end}");
    let answer = http::get(prometheus, &path).unwrap_or_else(|error| panic!("{path}: {error:#}"));
    let answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
    let series = answer["data"].as_array().unwrap_or_else(|| panic!("no series: {answer}"));
    let exemplars = series.iter().filter_map(|series| series["exemplars"].as_array()).flatten();
    exemplars.map(|it| (it["labels"].clone(), number(&it["value"]))).collect()
}

/// How much all series of a selector grew in the last hour, by metric; histograms by their counts. Where a value goes down,
/// a series was reset.
pub(crate) fn growth(prometheus: SocketAddr, selector: &str) -> BTreeMap<String, f64> {
    let mut growth = BTreeMap::new();
    for series in query(prometheus, &format!("{selector}[1h]")) {
        let name = series["metric"]["__name__"].as_str().expect("every series has one").to_owned();
        let of = |key: &str, read: fn(&Value) -> f64| -> Option<Vec<f64>> {
            Some(series[key].as_array()?.iter().map(|pair| read(&pair[1])).collect())
        };
        let values = of("values", number)
            .or_else(|| of("histograms", |value| number(&value["count"])))
            .unwrap_or_else(|| panic!("no values in {series}"));
        let step = |pair: &[f64]| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] };
        *growth.entry(name).or_default() += values.windows(2).map(step).sum::<f64>();
    }
    growth
}

fn samples<T>(
    prometheus: SocketAddr,
    selector: &str,
    key: &str,
    read: impl Fn(&Value) -> T,
) -> Samples<T> {
    let series = query(prometheus, &format!("{selector}[1h]"));
    assert!(series.len() < 2, "{selector} is more than one series: {series:?}");
    let Some(series) = series.first() else { return Samples::new() };
    let samples = series[key].as_array().unwrap_or_else(|| panic!("no {key}: {series}"));
    samples
        .iter()
        .map(|pair| ((number(&pair[0]) * 1000.0).round() as u64, read(&pair[1])))
        .collect()
}

impl Native {
    /// Counts by the numbers that Prometheus gives to buckets; that of zero has none.
    pub(crate) fn numbered(&self, schema: i32) -> BTreeMap<Option<i32>, u64> {
        let number = |(left, right, count): &(f64, f64, u64)| {
            let number = right.log2() * 2f64.powi(schema);
            assert!(*left <= 0.0 || (number - number.round()).abs() < 1e-6, "{self:?}");
            ((*left > 0.0).then_some(number.round() as i32), *count)
        };
        self.buckets.iter().map(number).collect()
    }

    /// Asserts that this is a histogram, bucket by bucket.
    pub(crate) fn assert_is(&self, histogram: &Histogram) {
        assert_eq!(self.count, histogram.count(), "count");
        assert_eq!(self.sum, histogram.sum, "sum");
        let base = 2f64.powf(2f64.powi(-histogram.scale));
        let wanted = (histogram.offset..).zip(&histogram.buckets).filter(|(_, count)| **count > 0);
        let wanted: Vec<_> =
            wanted.map(|(index, count)| (base.powi(index), base.powi(index + 1), *count)).collect();
        let (zeros, buckets): (Vec<_>, Vec<_>) =
            self.buckets.iter().copied().partition(|(left, ..)| *left <= 0.0);
        let zeros: u64 = zeros.iter().map(|(.., count)| count).sum();
        assert_eq!(zeros, histogram.zeros, "{self:?}, {histogram:?}");
        assert_eq!(buckets.len(), wanted.len(), "{self:?}, {histogram:?}");
        for (has, wanted) in buckets.iter().zip(&wanted) {
            let same = |a: f64, b: f64| (a / b - 1.0).abs() < 1e-9;
            let is_same = same(has.0, wanted.0) && same(has.1, wanted.1) && has.2 == wanted.2;
            assert!(is_same, "{has:?} is not {wanted:?}");
        }
    }
}

/// A number; Prometheus writes values as text and times as numbers.
fn number(value: &Value) -> f64 {
    let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
    number.unwrap_or_else(|| panic!("no number: {value}"))
}

fn count(value: &Value) -> u64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no count: {value}"))
}

/// Text as part of an address.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}
