//! `/metrics`: the view as Prometheus reads it.
//!
//! One registry holds all: counters and gauges come from OpenTelemetry instruments, the kernel's
//! histograms from a collector of our own. The text form has classic histograms; the protobuf form
//! has native ones as well.

mod accept;
mod histogram;
#[cfg(test)]
mod tests;
mod wire;

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_sdk::{Resource, metrics::SdkMeterProvider};
use prometheus::{Registry, TextEncoder};
use tokio::sync::watch;

use super::{
    ExportError,
    exemplars::Newest,
    instruments::{self, Source},
    name,
};
use crate::view::View;
use accept::Format;

/// Renders views for Prometheus.
#[derive(Debug)]
pub struct Prometheus {
    registry: Registry,
    source: Arc<Source>,
    /// Held while the registry is read: one scrape, one view. What of exemplars was shown.
    scrape: Mutex<Newest>,
    /// The instruments work only as long as it lives.
    _provider: SdkMeterProvider,
}

impl Prometheus {
    /// Follows the published views; `resource` becomes `target_info`.
    pub fn new(views: watch::Receiver<Arc<View>>, resource: Resource) -> Result<Self, ExportError> {
        let registry = Registry::new();
        let source = Source::new(views);
        registry.register(Box::new(histogram::Collector::new(source.clone())?))?;
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let provider = instruments::provider(resource, exporter, &source, name::instrument);
        // With the first reading the SDK gives back the room for MAX_SERIES series that it took.
        drop(registry.gather());
        Ok(Self { registry, source, scrape: Mutex::default(), _provider: provider })
    }

    /// The latest view in the form that an `Accept` header asks for, and what form that is.
    pub fn render(&self, accept: &str) -> Result<(&'static str, Vec<u8>), ExportError> {
        let format = Format::negotiate(accept);
        let (view, families, newest) = {
            let mut scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
            let (view, newest) = (self.source.pin(), *scrape);
            if format == Format::Protobuf {
                scrape.note(view.exemplars());
            }
            (view, self.registry.gather(), newest)
        };
        let body = match format {
            Format::Text => TextEncoder::new().encode_to_string(&families)?.into_bytes(),
            Format::Protobuf => wire::encode(&families, &view, newest),
        };
        Ok((format.content_type(), body))
    }
}
