//! OTLP: metrics, logs and events to a Collector or any other receiver, by gRPC or HTTP.
//!
//! Requests are made straight from the view and the queue of log records, so that they have exactly
//! what was measured, a bounded size, and losses that are counted. Nothing here is waited for by the
//! tick loop: a receiver that is slow or gone costs a bounded queue, and nothing else.

mod backoff;
mod bridge;
mod client;
mod delta;
mod event;
mod ledger;
mod metrics;
mod records;
mod sender;
mod value;

use std::sync::Arc;

use hyper::Uri;
use opentelemetry_sdk::Resource;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_rustls::rustls;

pub use self::{
    bridge::{Bridge, bridge},
    delta::Deltas,
    ledger::{Account, ExportState, ExportStatus, Ledger},
    records::Records,
};
use self::{
    client::{Client, Tls},
    sender::{Order, Sender},
};
use super::{Certificate, FileError};
use crate::{
    config::{Signal, Target, Temporality},
    view::View,
};

/// Why nothing can be sent as it should be.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// A file is of no use.
    #[error(transparent)]
    File(#[from] FileError),
    /// What is in the files cannot be used.
    #[error("otlp.tls cannot be used: {0}; a certificate and its key must belong together")]
    Tls(#[from] rustls::Error),
    /// The system trusts nobody.
    #[error(
        "no trusted CA certificate: the system trust store is empty; install ca-certificates, or set \
         otlp.tls.ca"
    )]
    NoRoots,
}

impl OtlpError {
    /// The configuration key at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::File(error) => error.key(),
            Self::Tls(_) => "otlp.tls.certificate",
            Self::NoRoots => "otlp.tls.ca",
        }
    }
}

/// Where a signal goes, with what its configuration names read.
#[derive(Clone)]
pub struct Route {
    signal: Signal,
    way: Result<Way, Unusable>,
}

/// A receiver, and how to reach it.
#[derive(Clone)]
struct Way {
    target: Target,
    tls: Option<Tls>,
    certificate: Option<Certificate>,
}

/// Why a signal that is to be sent is not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Unusable(String);

impl Route {
    /// Reads what a target names.
    pub fn new(signal: Signal, target: Target) -> Result<Self, OtlpError> {
        let is_encrypted = target.endpoint.scheme_str() == Some("https");
        let tls = is_encrypted.then(|| client::tls(&target.tls, target.protocol)).transpose()?;
        let (tls, certificate) = tls.unzip();
        let way = Way { target, tls, certificate: certificate.flatten() };
        Ok(Self { signal, way: Ok(way) })
    }

    /// A signal that is to be sent and cannot be, with the reason.
    pub fn unusable(signal: Signal, reason: String) -> Self {
        Self { signal, way: Err(Unusable(reason)) }
    }

    /// What is sent on it.
    pub fn signal(&self) -> Signal {
        self.signal
    }

    /// Why nothing is sent on it, if so.
    pub fn unusable_reason(&self) -> Option<&str> {
        self.way.as_ref().err().map(|Unusable(reason)| reason.as_str())
    }

    /// The client certificate.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.way.as_ref().ok()?.certificate.as_ref()
    }
}

impl PartialEq for Route {
    /// What is read from files may have changed with them.
    fn eq(&self, other: &Self) -> bool {
        self.signal == other.signal
            && match (&self.way, &other.way) {
                (Ok(one), Ok(other)) => {
                    one.tls.is_none() && other.tls.is_none() && one.target == other.target
                }
                (Err(one), Err(other)) => one == other,
                _ => false,
            }
    }
}

impl Way {
    /// Whether others can listen in on secrets.
    fn is_overheard(&self) -> bool {
        let Target { headers, endpoint, .. } = &self.target;
        self.tls.is_none() && !headers.is_empty() && !is_here(endpoint)
    }
}

/// Whether an address is this host's own.
fn is_here(address: &Uri) -> bool {
    let host = address.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

/// Sends all that is to be sent, until it is stopped.
pub struct Otlp {
    senders: JoinSet<()>,
    /// To each of them.
    orders: Vec<(Signal, watch::Sender<Order>)>,
}

impl Otlp {
    /// Sends on these routes from now on, as part of the resource as soon as that is known.
    pub fn start(
        routes: &[Route],
        resources: &watch::Receiver<Option<Resource>>,
        views: &watch::Receiver<Arc<View>>,
        records: &Arc<Records>,
        deltas: &Arc<Deltas>,
    ) -> Self {
        let ledger = records.ledger();
        for signal in Signal::ALL {
            let route = routes.iter().find(|route| route.signal == signal);
            match route.map(|route| &route.way) {
                Some(Ok(way)) => ledger.open(signal, Some(&way.target)),
                None => ledger.open(signal, None),
                Some(Err(Unusable(reason))) => {
                    tracing::warn!("{} are not exported: {reason}", signal.name());
                    ledger.refuse(signal, reason);
                }
            }
        }
        let usable = || {
            let ways = routes.iter().map(|route| (route.signal, route.way.as_ref()));
            ways.filter_map(|(signal, way)| Some((signal, way.ok()?)))
        };
        records.open(usable().any(|(signal, _)| signal == Signal::Logs));
        let are_deltas = |(signal, way): (Signal, &Way)| {
            signal == Signal::Metrics && way.target.temporality != Temporality::Cumulative
        };
        if !usable().any(are_deltas) {
            let lost = deltas.reset();
            ledger.dropped(Signal::Metrics, "turned_off", lost, "deltas are sent no longer");
        }
        let (mut senders, mut orders) = (JoinSet::new(), Vec::new());
        if usable().next().is_none() {
            return Self { senders, orders };
        }
        for (signal, way) in usable() {
            if way.is_overheard() {
                tracing::warn!(
                    "otlp.headers are sent to {} in plain text; use https",
                    way.target.shown()
                );
            }
            let Way { target, tls, .. } = way.clone();
            let protocol = target.protocol.name();
            tracing::info!("sending {} to {} by {protocol}", signal.name(), target.shown());
            let (sender, order) = watch::channel(Order::Run);
            orders.push((signal, sender));
            let mut resources = resources.clone();
            let (views, records, ledger) = (views.clone(), records.clone(), ledger.clone());
            let deltas = deltas.clone();
            senders.spawn(async move {
                if resources.wait_for(Option::is_some).await.is_err() {
                    return;
                }
                let (interval, temporality) = (target.interval, target.temporality);
                let client = Client::new(target, signal, tls);
                let sender = Sender { signal, client, ledger, resources };
                match signal {
                    Signal::Metrics => {
                        sender.metrics(views, (interval, temporality), deltas, order).await;
                    }
                    Signal::Logs => sender.logs(records, order).await,
                }
            });
        }
        Self { senders, orders }
    }

    /// Sends what is left, and ends by then.
    pub async fn stop(&mut self, deadline: Instant) {
        self.end(|_| Order::Finish, deadline).await;
    }

    /// Leaves what is left to those who send on these routes next, sends what nobody will, and ends by
    /// then.
    pub async fn hand_over(&mut self, routes: &[Route], deadline: Instant) {
        let goes_on =
            |signal| routes.iter().any(|route| route.signal == signal && route.way.is_ok());
        let order = |signal| if goes_on(signal) { Order::HandOver } else { Order::Finish };
        self.end(order, deadline).await;
    }

    async fn end(&mut self, order: impl Fn(Signal) -> Order, deadline: Instant) {
        for (signal, sender) in &self.orders {
            sender.send_replace(order(*signal));
        }
        let ended = async { while self.senders.join_next().await.is_some() {} };
        if timeout_at(deadline, ended).await.is_err() {
            // What is under way then is cut off.
            self.senders.shutdown().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Origins, OtlpConfig, Secret};

    #[test]
    fn secrets_in_the_clear_are_noticed() {
        let is_overheard = |endpoint: &str, header: Option<&str>| {
            let secret = |name: &str| (name.to_owned(), Secret("s3cr3t".to_owned()));
            let config = OtlpConfig {
                endpoint: Some(endpoint.to_owned()),
                headers: header.map(secret).into_iter().collect(),
                ..OtlpConfig::default()
            };
            let target = config.target(Signal::Logs, &|_| None, &Origins::default());
            let target = target.unwrap().unwrap();
            Way { target, tls: None, certificate: None }.is_overheard()
        };
        for here in ["http://localhost:4317", "http://127.0.0.9:4317", "http://[::1]:4317"] {
            assert!(!is_overheard(here, Some("authorization")), "{here}");
        }
        for elsewhere in ["http://collector:4317", "http://10.0.0.1:4317", "http://[fd00::1]:1"] {
            assert!(is_overheard(elsewhere, Some("authorization")), "{elsewhere}");
            assert!(!is_overheard(elsewhere, None), "{elsewhere}");
        }
    }
}
