//! `/metrics`: the view as Prometheus reads it.
//!
//! The text form is that of a registry: counters and gauges come from OpenTelemetry instruments, the
//! kernel's histograms, as classic ones, from a collector of our own. The protobuf form is encoded from
//! the view, with native histograms beside the classic ones and with the time since which each series counts.

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
    /// The resource, in the protobuf form.
    target_info: Vec<u8>,
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
        let families = registry.gather();
        let info = families.iter().find(|family| family.name() == "target_info");
        let target_info = info.map(wire::encode_gauges).unwrap_or_default();
        Ok(Self { registry, source, target_info, scrape: Mutex::default(), _provider: provider })
    }

    /// The latest view in the form that an `Accept` header asks for, and what form that is.
    pub fn render(&self, accept: &str) -> Result<(&'static str, Vec<u8>), ExportError> {
        let format = Format::negotiate(accept);
        let mut scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let (view, newest) = (self.source.pin(), *scrape);
        let body = match format {
            Format::Text => {
                let families = self.registry.gather();
                drop(scrape);
                TextEncoder::new().encode_to_string(&families)?.into_bytes()
            }
            Format::Protobuf => {
                scrape.note(view.exemplars());
                drop(scrape);
                wire::encode(&self.target_info, &view, newest)
            }
        };
        Ok((format.content_type(), body))
    }
}
