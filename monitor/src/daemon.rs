//! The daemon: the one place that knows every stage, from loading probes to serving what they found.

mod events;
mod exports;
mod files;
mod heap;
mod identity;
mod names;
mod probes;
mod reload;
mod slowest;
mod tick;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    time::Instant,
};

use self::{
    exports::Exports, files::NamedFiles, identity::Identity, reload::Reloader, tick::Ticker,
};
pub use self::{
    probes::{Loaded, load_probes},
    tick::audit,
};
use crate::{
    config::{Config, LogConfig, Origin, Signal},
    export::{
        Credentials, ExportError,
        http::{self, Aborted, Security, SecurityError},
        otlp::{Deltas, OtlpError, Records, Route},
        prometheus::Prometheus,
    },
};

/// How long the tick under way may take to end when the daemon stops.
const STOP: Duration = Duration::from_secs(1);

/// How long it may take the daemon to end, sending what is left included.
const END: Duration = Duration::from_millis(1800);

/// Why the daemon could not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The address could not be listened on.
    #[error("cannot listen on {address}: {source}; choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: io::Error,
    },
    /// The thread of the tick loop could not be started.
    #[error("cannot start the tick loop: {0}; raise the limit of tasks")]
    Thread(io::Error),
    /// The tick loop ended by itself.
    #[error(
        "the tick loop has ended by an error in monitor; restart it, and report what it logged"
    )]
    Stopped,
    /// What is to be sent cannot be.
    #[error(transparent)]
    Otlp(#[from] OtlpError),
    /// What the configuration names for HTTP cannot be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// Serving failed.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A value of the configuration is at fault.
    #[error("{origin}: {error}")]
    At {
        /// Where the value was set.
        origin: Origin,
        /// What is wrong with it.
        error: Box<Self>,
    },
}

impl DaemonError {
    /// The same with the origin of the value at fault, where that is known.
    fn set_by(self, config: &Config) -> Self {
        let key = match &self {
            Self::Otlp(error) => error.key(),
            Self::Security(error) => error.key(),
            _ => return self,
        };
        match config.origins.get(key).cloned() {
            Some(origin) => Self::At { origin, error: Box::new(self) },
            None => self,
        }
    }
}

/// A configuration, with what it names read.
pub struct Plan {
    config: Config,
    files: NamedFiles,
    security: Security,
    routes: Vec<Route>,
}

impl Plan {
    /// Reads what a configuration names.
    pub fn new(config: Config) -> Result<Self, DaemonError> {
        // Before they are read, so that what is written meanwhile is a change.
        let files = NamedFiles::of(&config);
        let security = security(&config)?;
        let routes = routes(&config)?;
        Ok(Self { config, files, security, routes })
    }

    /// What is logged, and how.
    pub fn logs(&self) -> &LogConfig {
        &self.config.log
    }
}

/// Who may read, and whether it is encrypted.
fn security(config: &Config) -> Result<Security, DaemonError> {
    Security::read(&config.tls, &config.auth)
        .map_err(|error| DaemonError::from(error).set_by(config))
}

/// Where the signals that are sent go.
fn routes(config: &Config) -> Result<Vec<Route>, DaemonError> {
    let routes = Signal::ALL.into_iter().map(|signal| route(config, signal));
    let routes: Result<Vec<_>, _> = routes.collect();
    let routes = routes.map_err(|error| DaemonError::from(error).set_by(config))?;
    Ok(routes.into_iter().flatten().collect())
}

/// Where a signal goes, if anywhere. What a standard variable says is meant for all programs of a
/// host: where it cannot be used, the signal is not exported, and everything else keeps running.
fn route(config: &Config, signal: Signal) -> Result<Option<Route>, OtlpError> {
    let unusable = |reason: String| Ok(Some(Route::unusable(signal, reason)));
    let target = match config.target(signal) {
        Err(error) => return unusable(error.to_string()),
        Ok(None) => return Ok(None),
        Ok(Some(target)) => target,
    };
    match Route::new(signal, target) {
        Err(error) if !fails_without_variables(config, signal) => {
            unusable(format!("{error} (set by {})", config.standard_variables(signal).join(", ")))
        }
        route => route.map(Some),
    }
}

/// Whether a signal cannot be sent either where no standard variable is set.
fn fails_without_variables(config: &Config, signal: Signal) -> bool {
    let target = config.otlp.target(signal, &|_| None, &config.origins);
    target.ok().flatten().is_some_and(|target| Route::new(signal, target).is_err())
}

/// Runs until `shutdown` completes; `reloads` are plans to change to. What is put into `records` is
/// sent as the plan says.
pub async fn run(
    plan: Plan,
    records: Arc<Records>,
    reloads: mpsc::Receiver<Plan>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), DaemonError> {
    let Plan { config, files, security, routes } = plan;
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| DaemonError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    warn_of_strangers(address, &security);
    let scheme = if security.is_encrypted() { "https" } else { "http" };
    let (security, in_force) = watch::channel(Arc::new(security));
    let identity = Identity::new(config.host.paths());
    let (aborted, credentials) = (Arc::<Aborted>::default(), Arc::<Credentials>::default());
    let deltas = Deltas::new(SystemTime::now());
    let ticker = Ticker::new(&config, records.clone(), aborted.clone(), credentials.clone());
    let (sender, views) = watch::channel(Arc::new(ticker.first_view()));
    let prometheus = Prometheus::new(views.clone(), identity.exposed())?;
    // Its first reading took room for many series, and gave it back.
    heap::give_back();
    let (configs, orders) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("tick".to_owned())
        .spawn(move || ticker.run(&sender, &orders))
        .map_err(DaemonError::Thread)?;
    tracing::info!("serving {scheme}://{address}/metrics");
    let ledger = records.ledger().clone();
    let mut exports = Exports::start(routes, identity.sent(), views.clone(), records, deltas);
    let reloader = Reloader {
        address,
        config,
        files,
        configs: &configs,
        security: &security,
        exports: &mut exports,
        credentials: &credentials,
        identity: &identity,
    };
    let mut last = views.clone();
    let tick_loop_ended = async { while last.changed().await.is_ok() {} };
    let shutdown = async {
        tokio::select! {
            () = shutdown => Ok(()),
            () = tick_loop_ended => Err(DaemonError::Stopped),
            () = reloader.run(reloads) => Ok(()),
            () = identity.follow() => Ok(()),
        }
    };
    let (ended, end) = tokio::sync::oneshot::channel();
    let shutdown = async {
        // The server is there to hear it, or has ended by itself.
        let _ = ended.send((shutdown.await, Instant::now()));
    };
    let served =
        http::State::new(prometheus, views, in_force, ledger, aborted, credentials.clone());
    http::serve(listener, served, shutdown).await;
    let (result, asked) = end.await.unwrap_or_else(|_| (Ok(()), Instant::now()));
    drop(configs);
    let deadline = Instant::now() + STOP;
    while !thread.is_finished() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tracing::info!("stopped");
    exports.stop(asked + END).await;
    result
}

/// Warns when others than the host's own users can read, or listen in.
fn warn_of_strangers(address: SocketAddr, security: &Security) {
    if address.ip().is_loopback() {
        return;
    }
    if !security.is_authenticated() {
        tracing::warn!(
            %address,
            "unauthenticated: anyone on the network who reaches this address can read process names and \
             activity; set auth.tokens or auth.users"
        );
    } else if !security.is_encrypted() {
        tracing::warn!(
            %address,
            "tokens and passwords are sent in plain text; set tls.certificate and tls.key"
        );
    }
}
