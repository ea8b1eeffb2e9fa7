//! The HTTP server: `/metrics`, `/health`, `/ready`, the API and the live page.
//!
//! Each connection carries one request and has a deadline, so that whoever sends slowly or says nothing holds
//! one of few connections for ten seconds and no more; a response may be read for longer: see [`pace`].

mod answer;
mod auth;
mod min_rate;
mod security;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::{
    Request,
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time,
};
use tokio_rustls::TlsAcceptor;

pub use self::min_rate::Aborted;
use self::min_rate::{Metered, Progress, Slots};
pub use self::security::{Security, SecurityError, authorization};
use super::{Credentials, otlp::Ledger, prometheus::Prometheus};
use crate::view::View;

/// Connections at one time; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 32;

/// How long a connection may last on which no request came.
const DEADLINE: Duration = Duration::from_secs(10);

/// Renderings of metrics at one time: each goes on to its end, also when the client has gone.
const MAX_RENDERINGS: usize = 2;

/// How long a request for metrics waits for its turn.
const RENDERING_WAIT: Duration = Duration::from_secs(5);

/// How long a request's head may be, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// How long a shutdown waits for what is being answered.
const GRACE: Duration = Duration::from_millis(500);

/// How long to wait when the system has no connection to give.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What is served.
#[derive(Clone, Debug)]
pub struct State {
    prometheus: Arc<Prometheus>,
    renderings: Arc<Semaphore>,
    views: watch::Receiver<Arc<View>>,
    /// Of connections that come from now on.
    security: watch::Receiver<Arc<Security>>,
    exports: Arc<Ledger>,
    aborted: Arc<Aborted>,
    credentials: Arc<Credentials>,
    started: Instant,
}

impl State {
    /// Serves the published views, their metrics as `prometheus` renders them, and how `exports` do, to
    /// whom `security` allows it. `aborted` counts aborted connections,
    /// `credentials` has the certificates in use.
    pub fn new(
        prometheus: Prometheus,
        views: watch::Receiver<Arc<View>>,
        security: watch::Receiver<Arc<Security>>,
        exports: Arc<Ledger>,
        aborted: Arc<Aborted>,
        credentials: Arc<Credentials>,
    ) -> Self {
        Self {
            prometheus: Arc::new(prometheus),
            renderings: Arc::new(Semaphore::new(MAX_RENDERINGS)),
            views,
            security,
            exports,
            aborted,
            credentials,
            started: Instant::now(),
        }
    }
}

/// Serves until `shutdown` is ready, and then returns within a second.
pub async fn serve(listener: TcpListener, state: State, shutdown: impl Future<Output = ()>) {
    let (security, aborted) = (state.security.clone(), state.aborted.clone());
    let slots = Arc::<Slots>::default();
    let service = TowerToHyperService::new(answer::router(state));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => match accepted {
                Ok((stream, peer)) => {
                    let tls = security.borrow().tls.clone();
                    let (service, slots, aborted) =
                        (service.clone(), slots.clone(), aborted.clone());
                    connections.spawn(async move {
                        let (peer, progress) = (peer.ip().to_canonical(), Progress::new());
                        tokio::select! {
                            () = receive(stream, tls, service, &progress) => {}
                            reason = min_rate::expire(&progress, &slots, peer) => {
                                aborted.count(peer, reason, &progress);
                            }
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "HTTP connection not accepted");
                    time::sleep(ACCEPT_RETRY).await;
                }
            },
        }
    }
    drop(listener);
    let answered = async { while connections.join_next().await.is_some() {} };
    if time::timeout(GRACE, answered).await.is_err() {
        tracing::debug!(connections = connections.len(), "HTTP connections cut off at shutdown");
    }
}

/// Answers one request, encrypted or not.
async fn receive(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    service: TowerToHyperService<axum::Router>,
    progress: &Arc<Progress>,
) {
    // Without it, the end of an answer may wait for the client to acknowledge what came before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY not set");
    }
    match tls {
        None => converse(stream, service, progress).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => converse(stream, service, progress).await,
            Err(error) => tracing::debug!(%error, "TLS connection refused"),
        },
    }
}

/// Answers one request.
async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    service: TowerToHyperService<axum::Router>,
    progress: &Arc<Progress>,
) {
    let stream = Metered { inner: stream, progress: progress.clone() };
    let service = service_fn(|request: Request<Incoming>| {
        progress.request(request.headers());
        service.call(request)
    });
    let connection = http1::Builder::new()
        .keep_alive(false)
        .header_read_timeout(None)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "HTTP connection broken off");
    }
}
