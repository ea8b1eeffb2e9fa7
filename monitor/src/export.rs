//! Exporters: they turn the last view into what others read.
//!
//! An exporter knows the view and nothing of where its numbers come from.

pub mod http;
mod instruments;
pub mod name;
pub mod prometheus;
#[cfg(test)]
mod testing;

use std::env;

use opentelemetry::KeyValue;
use opentelemetry_sdk::{Resource, error::OTelSdkError, resource::EnvResourceDetector};
use thiserror::Error;

/// Why something cannot be exported.
#[derive(Debug, Error)]
pub enum ExportError {
    /// OpenTelemetry refused the registry.
    #[error(
        "no exporter for the counters and gauges: {0}; this is an error in monitor, please report it"
    )]
    Exporter(#[from] OTelSdkError),
    /// The Prometheus library refused a metric or its values.
    #[error("no exposition of the metrics: {0}; this is an error in monitor, please report it")]
    Exposition(#[from] ::prometheus::Error),
}

/// What all metrics belong to: this service. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` add
/// to it and go before it.
pub fn resource() -> Resource {
    let builder = Resource::builder_empty()
        .with_service_name("monitor")
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match env::var("OTEL_SERVICE_NAME") {
        Ok(name) if !name.is_empty() => builder.with_service_name(name),
        _ => builder,
    }
    .build()
}
