//! Exporters: they turn the last view into what others read.
//!
//! An exporter knows the view and nothing of where its numbers come from.

mod credentials;
mod exemplars;
mod files;
pub mod http;
mod instruments;
pub mod name;
pub mod otlp;
pub mod prometheus;
#[cfg(test)]
pub(crate) mod testing;

pub use self::credentials::{Certificate, CertificateStatus, Credentials, Side};
pub use self::files::FileError;
use opentelemetry_sdk::error::OTelSdkError;
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
