//! `/metrics`: the view as Prometheus reads it.
//!
//! The text form is that of a registry: counters and gauges come from OpenTelemetry instruments, the
//! kernel's histograms, as classic ones, from a collector of our own. The protobuf form is encoded from
//! the view, with native histograms beside the classic ones and with the time since which each series counts.

mod accept;
mod histogram;
mod target;
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
    resources: watch::Receiver<Resource>,
    /// Held while the registry is read: one scrape, one view. What of exemplars was shown.
    scrape: Mutex<Newest>,
    /// The instruments work only as long as it lives.
    _provider: SdkMeterProvider,
}

impl Prometheus {
    /// Follows the published views, and the resource, which becomes `target_info`.
    pub fn new(
        views: watch::Receiver<Arc<View>>,
        resources: watch::Receiver<Resource>,
    ) -> Result<Self, ExportError> {
        let registry = Registry::new();
        let source = Source::new(views);
        registry.register(Box::new(histogram::Collector::new(source.clone())?))?;
        // Its `target_info` would stay as it is now.
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build()?;
        let resource = Resource::builder_empty().build();
        let provider = instruments::provider(resource, exporter, &source, name::instrument);
        // With the first reading the SDK gives back the room for MAX_SERIES series that it took.
        drop(registry.gather());
        Ok(Self { registry, source, resources, scrape: Mutex::default(), _provider: provider })
    }

    /// The latest view in the form that an `Accept` header asks for, and what form that is.
    pub fn render(&self, accept: &str) -> Result<(&'static str, Vec<u8>), ExportError> {
        let format = Format::negotiate(accept);
        let resource = self.resources.borrow().clone();
        let body = match format {
            Format::Text => {
                let mut families = {
                    let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
                    self.source.pin();
                    self.registry.gather()
                };
                families.push(target::text(&resource));
                TextEncoder::new().encode_to_string(&families)?.into_bytes()
            }
            Format::Protobuf => {
                let mut newest = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
                let (view, shown) = (self.source.pin(), *newest);
                newest.note(view.exemplars());
                drop(newest);
                wire::encode(target::protobuf(&resource), &view, shown)
            }
        };
        Ok((format.content_type(), body))
    }
}
