//! Made data, sent as a daemon would.

use std::{
    net::SocketAddr,
    time::{SystemTime, UNIX_EPOCH},
};

use monitor_backends::{TOKEN, http};
use serde_json::{Value, json};

/// The host that it is of.
pub(crate) const HOST: &str = "i-0123456789abcdef0";

/// The resource that it is of.
const RESOURCE: [(&str, &str); 4] = [
    ("service.name", "monitor"),
    ("service.instance.id", "made"),
    ("host.id", HOST),
    ("host.name", "made-host"),
];

/// An exponential histogram.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Histogram {
    pub(crate) scale: i32,
    /// Durations of exactly zero.
    pub(crate) zeros: u64,
    /// The first bucket's index.
    pub(crate) offset: i32,
    pub(crate) buckets: Vec<u64>,
    pub(crate) sum: f64,
}

impl Histogram {
    pub(crate) fn count(&self) -> u64 {
        self.zeros + self.buckets.iter().sum::<u64>()
    }
}

/// Nanoseconds since 1970.
pub(crate) fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
    now.as_nanos().try_into().expect("it is before 2554")
}

/// A time in milliseconds, as the stores keep it.
pub(crate) fn millis(time_ns: u64) -> u64 {
    time_ns / 1_000_000
}

/// Milliseconds since 1970.
pub(crate) fn now_ms() -> u64 {
    millis(now_ns())
}

pub(crate) fn attributes(pairs: &[(&str, &str)]) -> Value {
    pairs.iter().map(|(key, value)| json!({"key": key, "value": {"stringValue": value}})).collect()
}

/// A metric with one series that is a histogram.
pub(crate) fn histogram(
    name: &str,
    pairs: &[(&str, &str)],
    (start_ns, time_ns): (u64, u64),
    histogram: &Histogram,
) -> Value {
    let buckets: Vec<String> = histogram.buckets.iter().map(u64::to_string).collect();
    let point = json!({
        "attributes": attributes(pairs),
        "startTimeUnixNano": start_ns.to_string(),
        "timeUnixNano": time_ns.to_string(),
        "count": histogram.count().to_string(),
        "sum": histogram.sum,
        "scale": histogram.scale,
        "zeroCount": histogram.zeros.to_string(),
        "positive": {"offset": histogram.offset, "bucketCounts": buckets},
    });
    let unit = "s";
    json!({"name": name, "unit": unit, "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [point]}})
}

/// A metric that is a counter, with its series: attributes and values.
pub(crate) fn counter(
    name: &str,
    unit: &str,
    (start_ns, time_ns): (u64, u64),
    series: &[(&[(&str, &str)], u64)],
) -> Value {
    let points: Value = series
        .iter()
        .map(|(pairs, value)| {
            json!({
                "attributes": attributes(pairs),
                "startTimeUnixNano": start_ns.to_string(),
                "timeUnixNano": time_ns.to_string(),
                "asInt": value.to_string(),
            })
        })
        .collect();
    json!({"name": name, "unit": unit, "sum": {"aggregationTemporality": 2, "isMonotonic": true, "dataPoints": points}})
}

/// A metric that is a gauge, with its series.
pub(crate) fn gauge(name: &str, time_ns: u64, series: &[(&[(&str, &str)], f64)]) -> Value {
    let points: Value = series
        .iter()
        .map(|(pairs, value)| {
            json!({"attributes": attributes(pairs), "timeUnixNano": time_ns.to_string(), "asDouble": value})
        })
        .collect();
    json!({"name": name, "unit": "1", "gauge": {"dataPoints": points}})
}

/// Numbers and names of severities.
pub(crate) const ERROR: (u8, &str) = (17, "ERROR");
pub(crate) const DEBUG: (u8, &str) = (5, "DEBUG");

/// An event in the log.
pub(crate) fn event(
    name: &str,
    (severity, severity_text): (u8, &str),
    time_ns: u64,
    body: &str,
    pairs: &[(&str, &str)],
) -> Value {
    json!({
        "timeUnixNano": time_ns.to_string(),
        "severityNumber": severity,
        "severityText": severity_text,
        "eventName": name,
        "body": {"stringValue": body},
        "attributes": attributes(pairs),
    })
}

/// Sends metrics to a Collector.
pub(crate) fn send_metrics(collector: SocketAddr, metrics: &[Value]) {
    send_metrics_of(collector, &RESOURCE, metrics);
}

/// Sends metrics of another resource to a Collector.
pub(crate) fn send_metrics_of(collector: SocketAddr, resource: &[(&str, &str)], metrics: &[Value]) {
    let scope = json!({"scope": {"name": "monitor"}, "metrics": metrics});
    let resource = json!({"attributes": attributes(resource)});
    let body = json!({"resourceMetrics": [{"resource": resource, "scopeMetrics": [scope]}]});
    send(collector, "/v1/metrics", &body);
}

/// Sends records to a Collector.
pub(crate) fn send_logs(collector: SocketAddr, records: &[Value]) {
    let scope = json!({"scope": {"name": "monitor"}, "logRecords": records});
    let body = json!({"resourceLogs": [{"resource": {"attributes": attributes(&RESOURCE)}, "scopeLogs": [scope]}]});
    send(collector, "/v1/logs", &body);
}

/// Sends with another token, and returns the status.
pub(crate) fn status_with_token(collector: SocketAddr, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let headers = [("Content-Type", "application/json"), ("Authorization", &authorization)];
    http::request(collector, "POST", "/v1/logs", &headers, b"{}").expect("it answers").status
}

fn send(collector: SocketAddr, path: &str, body: &Value) {
    let authorization = format!("Bearer {TOKEN}");
    let headers = [("Content-Type", "application/json"), ("Authorization", &authorization)];
    let answer = http::post(collector, path, &headers, body.to_string().as_bytes());
    let answer = answer.unwrap_or_else(|error| panic!("{error:#}"));
    let answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
    assert_eq!(answer, json!({"partialSuccess": {}}));
}
