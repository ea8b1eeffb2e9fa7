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
    help: "Requests sent by OTLP, those included that failed; signal metrics or logs",
    source: "counted where requests are sent",
};

/// Failed requests.
pub static EXPORT_FAILURES: MetricDesc = MetricDesc {
    name: "monitor.agent.export.failures",
    unit: "{request}",
    kind: Kind::Counter,
    attributes: &["monitor.signal", "error.type"],
    help: "Requests by OTLP that failed: by the gRPC code or HTTP status of the answer, or timeout, \
           connection, redirect (one that is not followed) or malformed_response (a web page)",
    source: "counted where requests are sent",
};

/// Items that were taken.
pub static EXPORT_ITEMS: MetricDesc = MetricDesc {
    name: "monitor.agent.export.items",
    unit: "{item}",
    kind: Kind::Counter,
    attributes: &["monitor.signal"],
    help: "Data points and log records that a receiver took",
    source: "counted where requests are sent",
};

/// Items that may be there twice.
pub static EXPORT_RESENT: MetricDesc = MetricDesc {
    name: "monitor.agent.export.resent",
    unit: "{item}",
    kind: Kind::Counter,
    attributes: &["monitor.signal"],
    help: "Log records and delta points sent again after a request of unknown outcome: possible duplicates",
    source: "counted where requests are sent; a request is of unknown outcome after a timeout, a broken connection or an \
             end of the sender; cumulative points are not sent again, the next ones supersede them",
};

/// Items that are lost.
pub static EXPORT_DROPPED: MetricDesc = MetricDesc {
    name: "monitor.agent.export.dropped",
    unit: "{item}",
    kind: Kind::Counter,
    attributes: &["monitor.signal", "monitor.loss.reason"],
    help: "Data points and log records that were not sent and never will be: rejected by the \
           receiver, pushed out by newer ones (queue_full), left when sending ended (cut_off, \
           turned_off), or in a request that failed for good, by its error.type; what a later request makes good is not counted",
    source: "counted where each loss happens",
};

/// Size of requests.
pub static EXPORT_SIZE: MetricDesc = MetricDesc {
    name: "monitor.agent.export.size",
    unit: "By",
    kind: Kind::Counter,
    attributes: &["monitor.signal"],
    help: "Bytes of the requests sent by OTLP, before compression",
    source: "counted where requests are sent",
};

/// Duration of requests.
pub static EXPORT_DURATION: MetricDesc = MetricDesc {
    name: "monitor.agent.export.duration",
    unit: "s",
    kind: Kind::Gauge,
    attributes: &["monitor.signal"],
    help: "Time the last request by OTLP took, until its answer was read or it was given up",
    source: "the daemon's clock",
};
