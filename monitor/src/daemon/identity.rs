//! The resource that everything exported belongs to. It is read again while the daemon runs: a host
//! may get its name after the daemon has started, and the cloud may respond late.

use std::time::Duration;

use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use tokio::{
    sync::{Notify, watch},
    task, time,
};

use crate::{host::HostPaths, resource};

/// Time between two readings.
const INTERVAL: Duration = Duration::from_secs(60);

/// The resource, as it is known by now.
pub(super) struct Identity {
    paths: HostPaths,
    /// For scrapes, from the start.
    exposed: watch::Sender<Resource>,
    /// For what is sent, once the cloud has been asked.
    sent: watch::Sender<Option<Resource>>,
    reread: Notify,
}

impl Identity {
    /// Reads what the files of the host say.
    pub(super) fn new(paths: HostPaths) -> Self {
        let host = resource::of_host(&paths);
        let exposed = watch::Sender::new(resource::resource(host.attributes));
        Self { paths, exposed, sent: watch::Sender::new(None), reread: Notify::new() }
    }

    /// The resource for scrapes.
    pub(super) fn exposed(&self) -> watch::Receiver<Resource> {
        self.exposed.subscribe()
    }

    /// The resource for what is sent; `None` until the cloud has been asked.
    pub(super) fn sent(&self) -> watch::Receiver<Option<Resource>> {
        self.sent.subscribe()
    }

    /// Reads again now.
    pub(super) fn reread(&self) {
        self.reread.notify_one();
    }

    /// Reads again at each interval, and asks the cloud until it responds. Never completes.
    pub(super) async fn follow(&self) {
        let (mut cloud, mut known_id) = (None, None);
        for round in 1u64.. {
            let paths = self.paths.clone();
            // A file of the host may be slow to read.
            let host = task::spawn_blocking(move || resource::of_host(&paths)).await;
            // Less and less often: it may never respond.
            if cloud.is_none() && round.is_power_of_two() {
                cloud = self.ask().await;
            }
            let Ok(host) = host else {
                time::sleep(INTERVAL).await;
                continue;
            };
            let attributes = [&*host.attributes, cloud.as_deref().unwrap_or_default()].concat();
            let is_by_cloud = cloud.iter().flatten().any(|pair| pair.key.as_str() == "host.id");
            let source = if is_by_cloud { Some("the EC2 instance id") } else { host.id_source };
            let resource = resource::resource(attributes);
            report(&mut known_id, &resource, source.unwrap_or_default());
            self.publish(&resource);
            let _ = time::timeout(INTERVAL, self.reread.notified()).await;
        }
    }

    /// What the cloud says, if it responds. That it does not is logged once.
    async fn ask(&self) -> Option<Vec<KeyValue>> {
        let response = resource::ask_cloud(&self.paths).await;
        if let Err(error) = &response
            && self.sent.borrow().is_none()
        {
            tracing::warn!("no cloud attributes yet: {error}");
        }
        response.ok()
    }

    fn publish(&self, resource: &Resource) {
        let is_change = |known: &Resource| *known != *resource;
        self.exposed.send_if_modified(|known| {
            let is_change = is_change(known);
            known.clone_from(resource);
            is_change
        });
        self.sent.send_if_modified(|known| {
            let is_change = known.as_ref().is_none_or(is_change);
            *known = Some(resource.clone());
            is_change
        });
    }
}

/// Logs what the `host.id` is, once, and whenever it is another.
fn report(known: &mut Option<String>, resource: &Resource, source: &str) {
    let id = resource.get(&Key::from_static_str("host.id")).map(|id| id.to_string());
    let id = id.unwrap_or_default();
    match known {
        None if id.is_empty() => {
            tracing::warn!("host.id is empty: this host has no id and no name");
        }
        None => tracing::info!("host.id is {id} ({source})"),
        Some(old) if *old != id => {
            tracing::warn!("host.id changes from {old} to {id} ({source})");
        }
        Some(_) => {}
    }
    *known = Some(id);
}
