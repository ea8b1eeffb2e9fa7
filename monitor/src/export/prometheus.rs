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
    source: Arc<Source>,
    resources: watch::Receiver<Resource>,
    /// Held while the registry is read: one scrape, one view.
    scrape: Mutex<Scrape>,
}

/// What scrapes share.
#[derive(Debug)]
struct Scrape {
    exposed: Exposed,
    /// What of exemplars was shown.
    newest: Newest,
}

/// The registry of a resource.
#[derive(Debug)]
struct Exposed {
    resource: Resource,
    registry: Registry,
    /// The resource, in the protobuf form.
    target_info: Vec<u8>,
    /// The instruments work only as long as it lives.
    _provider: SdkMeterProvider,
}

impl Exposed {
    fn new(resource: Resource, source: &Arc<Source>) -> Result<Self, ExportError> {
        let registry = Registry::new();
        registry.register(Box::new(histogram::Collector::new(source.clone())?))?;
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .build()?;
        let provider = instruments::provider(resource.clone(), exporter, source, name::instrument);
        // With the first reading the SDK gives back the room for MAX_SERIES series that it took.
        let families = registry.gather();
        let info = families.iter().find(|family| family.name() == "target_info");
        let target_info = info.map(wire::encode_gauges).unwrap_or_default();
        Ok(Self { resource, registry, target_info, _provider: provider })
    }
}

impl Prometheus {
    /// Follows the published views, and the resource, which becomes `target_info`.
    pub fn new(
        views: watch::Receiver<Arc<View>>,
        resources: watch::Receiver<Resource>,
    ) -> Result<Self, ExportError> {
        let source = Source::new(views);
        let exposed = Exposed::new(resources.borrow().clone(), &source)?;
        let scrape = Mutex::new(Scrape { exposed, newest: Newest::default() });
        Ok(Self { source, resources, scrape })
    }

    /// The latest view in the form that an `Accept` header asks for, and what form that is.
    pub fn render(&self, accept: &str) -> Result<(&'static str, Vec<u8>), ExportError> {
        let format = Format::negotiate(accept);
        let mut scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let resource = self.resources.borrow().clone();
        if scrape.exposed.resource != resource {
            scrape.exposed = Exposed::new(resource, &self.source)?;
        }
        let (view, newest) = (self.source.pin(), scrape.newest);
        let body = match format {
            Format::Text => {
                let families = scrape.exposed.registry.gather();
                drop(scrape);
                TextEncoder::new().encode_to_string(&families)?.into_bytes()
            }
            Format::Protobuf => {
                scrape.newest.note(view.exemplars());
                wire::encode(&scrape.exposed.target_info, &view, newest)
            }
        };
        Ok((format.content_type(), body))
    }
}
