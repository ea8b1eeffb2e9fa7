//! What is sent, as the configuration in force says, and as part of which host.

use std::{sync::Arc, time::Duration};

use opentelemetry_sdk::Resource;
use tokio::{sync::watch, time::Instant};

use crate::{
    export::otlp::{Deltas, Otlp, Records, Route},
    view::View,
};

/// How long what is under way may take when the configuration changes. Then it is sent again, and may be
/// there twice.
const HAND_OVER: Duration = Duration::from_millis(700);

/// The senders, and what it takes to start others.
pub(super) struct Exports {
    otlp: Otlp,
    routes: Vec<Route>,
    /// Whether `otlp` has not started on `routes` yet.
    is_changing: bool,
    resources: watch::Receiver<Option<Resource>>,
    views: watch::Receiver<Arc<View>>,
    records: Arc<Records>,
    deltas: Arc<Deltas>,
}

impl Exports {
    /// Sends on these routes from now on.
    pub(super) fn start(
        routes: Vec<Route>,
        resources: watch::Receiver<Option<Resource>>,
        views: watch::Receiver<Arc<View>>,
        records: Arc<Records>,
        deltas: Deltas,
    ) -> Self {
        let deltas = Arc::new(deltas);
        let otlp = Otlp::start(&routes, &resources, &views, &records, &deltas);
        Self { otlp, routes, is_changing: false, resources, views, records, deltas }
    }

    /// Sends on other routes, if they are others. Log records that wait are sent there.
    pub(super) async fn change(&mut self, routes: Vec<Route>) {
        if self.routes == routes {
            return;
        }
        (self.routes, self.is_changing) = (routes, true);
        self.hand_over(Instant::now() + HAND_OVER).await;
    }

    /// What is sent where.
    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Sends what is left, and ends by then.
    pub(super) async fn stop(mut self, deadline: Instant) {
        if self.is_changing {
            // Nobody may be left who sends.
            self.hand_over(Instant::now()).await;
        }
        self.otlp.stop(deadline).await;
    }

    async fn hand_over(&mut self, deadline: Instant) {
        self.otlp.hand_over(&self.routes, deadline).await;
        let Self { routes, resources, views, records, deltas, .. } = &*self;
        self.otlp = Otlp::start(routes, resources, views, records, deltas);
        self.is_changing = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::{net::TcpListener, time::timeout};

    use super::*;
    use crate::{
        attribution::Group,
        config::{Origins, OtlpConfig, Signal},
        event::{Event, What},
        export::testing,
        metric::AGENT_TICK_DURATION,
        resource,
        sample::Process,
    };

    fn route(signal: Signal, endpoint: &str) -> Route {
        let config = OtlpConfig { endpoint: Some(endpoint.to_owned()), ..OtlpConfig::default() };
        let target = config.target(signal, &|_| None, &Origins::default()).unwrap().unwrap();
        Route::new(signal, target).unwrap()
    }

    #[tokio::test]
    async fn what_waits_is_counted_when_the_daemon_ends_while_it_changes() {
        // Who is connected to it waits.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", silent.local_addr().unwrap());
        let routes = [Signal::Metrics, Signal::Logs].map(|signal| route(signal, &address));
        let other = [Signal::Metrics, Signal::Logs].map(|it| route(it, "http://127.0.0.1:1"));
        let series = testing::number(&AGENT_TICK_DURATION, &[], 1.0);
        let (_views, receiver) = testing::publish(testing::view(vec![series]));
        let resources = watch::channel(Some(resource::resource(Vec::new()))).1;
        let records = Records::new();
        let deltas = Deltas::new(SystemTime::now());
        let mut exports =
            Exports::start(routes.into(), resources, receiver, records.clone(), deltas);
        let _metrics = silent.accept().await.unwrap();
        let change = exports.change(other.into());
        assert!(timeout(Duration::from_millis(100), change).await.is_err());
        let process = Process { pid: 1, comm: [0; 16], cgroup_id: 1, kernel_thread: false };
        let (time, what) = (SystemTime::now(), What::Fork { child: 2 });
        let event = Event { time, process, parent: None, what };
        (0..5).for_each(|_| records.push_event(&event, &Group::default()));
        exports.stop(Instant::now() + Duration::from_millis(500)).await;
        let logs = records.ledger().accounts().remove(&Signal::Logs).unwrap();
        assert_eq!(logs.dropped.values().sum::<u64>(), 5, "{logs:?}");
    }
}
