//! Metrics of what the daemon sends by OTLP.

use super::{Kind, MetricDesc};

/// Every metric of this module.
pub(super) const EXPORT_ALL: &[&MetricDesc] = &[
    &EXPORT_REQUESTS,
    &EXPORT_FAILURES,
    &EXPORT_ITEMS,
    &EXPORT_RESENT,
    &EXPORT_DROPPED,
    &EXPORT_SIZE,
    &EXPORT_DURATION,
];

/// Requests.
pub static EXPORT_REQUESTS: MetricDesc = MetricDesc {
    name: "monitor.agent.export.requests",
    unit: "{request}",
    kind: Kind::Counter,
    attributes: &["monitor.signal"],
    help: "OTLP requests sent, including failed ones",
    source: "counted where requests are sent",
    ..MetricDesc::BASE
};

/// Failed requests.
pub static EXPORT_FAILURES: MetricDesc = MetricDesc {
    name: "monitor.agent.export.failures",
    unit: "{request}",
    kind: Kind::Counter,
    attributes: &["monitor.signal", "error.type"],
    help: "Failed OTLP requests by error type",
    details: "`error.type` is the gRPC code or HTTP status of the response, `timeout`, `connection`, `redirect` (one \
              that is not followed) or `malformed_response` (a web page).",
    source: "counted where requests are sent",
    ..MetricDesc::BASE
};

/// Items that were taken.
pub static EXPORT_ITEMS: MetricDesc = MetricDesc {
    name: "monitor.agent.export.items",
    unit: "{item}",
    kind: Kind::Counter,
    attributes: &["monitor.signal"],
    help: "Data points and log records accepted by the receiver",
    source: "counted where requests are sent",
    ..MetricDesc::BASE
};

/// Items that may be there twice.
pub static EXPORT_RESENT: MetricDesc = MetricDesc {
    name: "monitor.agent.export.resent",
    unit: "{item}",
    kind: Kind::Counter,
    attributes: &["monitor.signal"],
    help: "Log records and delta data points resent after an unknown outcome: possible duplicates",
    details: "The outcome is unknown after a timeout, a broken connection, HTTP status 502 or 504, gRPC code Cancelled \
              or DeadlineExceeded, or the end of a sender. Cumulative data points are not resent: the next export \
              supersedes them.",
    source: "counted where requests are sent",
    ..MetricDesc::BASE
};

/// Dropped items.
pub static EXPORT_DROPPED: MetricDesc = MetricDesc {
    name: "monitor.agent.export.dropped",
    unit: "{item}",
    kind: Kind::Counter,
    attributes: &["monitor.signal", "monitor.loss.reason"],
    help: "Dropped data points and log records by reason",
    details: "`rejected` (by the receiver), `queue_full` (evicted by newer records), `cut_off` and `turned_off` (not \
              sent when the export ended), or the `error.type` of a request that must not be retried. Cumulative data \
              points that the next export supersedes are not counted.",
    source: "counted where each loss happens",
    ..MetricDesc::BASE
};

/// Size of requests.
pub static EXPORT_SIZE: MetricDesc = MetricDesc {
    name: "monitor.agent.export.size",
    unit: "By",
    kind: Kind::Counter,
    attributes: &["monitor.signal"],
    help: "Bytes of OTLP requests before compression",
    source: "counted where requests are sent",
    ..MetricDesc::BASE
};

/// Duration of requests.
pub static EXPORT_DURATION: MetricDesc = MetricDesc {
    name: "monitor.agent.export.duration",
    unit: "s",
    kind: Kind::Gauge,
    attributes: &["monitor.signal"],
    help: "Duration of the last OTLP request, until its response or failure",
    source: "the daemon's clock",
    ..MetricDesc::BASE
};
