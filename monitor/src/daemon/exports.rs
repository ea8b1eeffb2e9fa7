//! What is sent, as the configuration in force says, and as part of which host.

use std::{sync::Arc, time::Duration};

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;
use tokio::{
    sync::{OnceCell, watch},
    time::Instant,
};

use crate::{
    export::otlp::{Otlp, Records, Route},
    host::HostPaths,
    resource,
    view::View,
};

/// How long what is under way may take when the configuration changes.
const HAND_OVER: Duration = Duration::from_millis(700);

/// The senders, and what it takes to start others.
pub(super) struct Exports {
    otlp: Otlp,
    routes: Vec<Route>,
    identity: Arc<Identity>,
    views: watch::Receiver<Arc<View>>,
    records: Arc<Records>,
}

/// What all that is sent belongs to.
pub(super) struct Identity {
    /// What the host's files say.
    pub(super) host: Vec<KeyValue>,
    /// Where they are.
    pub(super) paths: HostPaths,
    /// All that is known, once the cloud has been asked.
    pub(super) resource: OnceCell<Resource>,
}

impl Identity {
    /// Asks the cloud, the first time.
    async fn resource(&self) -> Resource {
        let ask = async || {
            let cloud = resource::ask_cloud(&self.paths).await;
            resource::resource([self.host.clone(), cloud].concat())
        };
        self.resource.get_or_init(ask).await.clone()
    }
}

impl Exports {
    /// Sends on these routes from now on.
    pub(super) fn start(
        routes: Vec<Route>,
        identity: Arc<Identity>,
        views: watch::Receiver<Arc<View>>,
        records: Arc<Records>,
    ) -> Self {
        let known = identity.clone();
        let resource = async move { known.resource().await };
        let otlp = Otlp::start(&routes, resource, &views, &records);
        Self { otlp, routes, identity, views, records }
    }

    /// Sends on other routes, if they are others. Log records that wait are sent there.
    pub(super) async fn change(&mut self, routes: Vec<Route>) {
        if self.routes == routes {
            return;
        }
        self.otlp.hand_over(Instant::now() + HAND_OVER).await;
        let (identity, views) = (self.identity.clone(), self.views.clone());
        *self = Self::start(routes, identity, views, self.records.clone());
    }

    /// Sends what is left, and ends by then.
    pub(super) async fn stop(mut self, deadline: Instant) {
        self.otlp.stop(deadline).await;
    }
}
