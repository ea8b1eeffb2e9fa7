//! The daemon's own logs as log records.

use std::sync::Arc;

use opentelemetry::{InstrumentationScope, logs::Severity};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_sdk::{
    error::OTelSdkResult,
    logs::{LogProcessor, SdkLogRecord, SdkLogger, SdkLoggerProvider},
};

use super::records::Records;

/// Where logs come from that are not sent: what sends them, whose every word would make more of them;
/// and events, which are sent as what they are.
const OUT: [&str; 8] = [
    "h2",
    "hyper",
    "hyper_util",
    "monitor::event",
    "monitor::export::otlp::sender",
    "rustls",
    "tonic",
    "tower",
];

/// A layer that has logs sent as long as the queue is open.
pub type Bridge = OpenTelemetryTracingBridge<SdkLoggerProvider, SdkLogger>;

/// A layer that puts logs into the queue.
pub fn bridge(records: Arc<Records>) -> Bridge {
    let provider = SdkLoggerProvider::builder().with_log_processor(Queue(records)).build();
    OpenTelemetryTracingBridge::new(&provider)
}

/// Puts what is logged into the queue at once. The SDK's own processors count no losses, drop the
/// newest records instead of the oldest, and know no limit of a request's size.
#[derive(Debug)]
struct Queue(Arc<Records>);

impl LogProcessor for Queue {
    fn emit(&self, data: &mut SdkLogRecord, scope: &InstrumentationScope) {
        let record = LogRecord {
            time_unix_nano: 0,
            // The library has the place in the sources there, which names no kind of event.
            event_name: String::new(),
            ..LogRecord::from(&*data)
        };
        let record = LogRecord { time_unix_nano: record.observed_time_unix_nano, ..record };
        let target = data.target().cloned().unwrap_or_else(|| scope.name().to_owned().into());
        self.0.push(target, &record);
    }

    fn event_enabled(&self, _: Severity, target: &str, _: Option<&str>) -> bool {
        let is_out = OUT.iter().any(|out| {
            target.strip_prefix(out).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
        });
        self.0.is_open() && !is_out
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }
}
