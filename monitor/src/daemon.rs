//! The daemon: the one place that knows every stage, from loading probes to serving what they found.

mod events;
mod heap;
mod reload;
mod tick;

use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
};

use self::tick::Ticker;
use crate::{
    attribution::{CgroupMount, Hierarchy},
    config::{Config, LogConfig},
    error::chain,
    export::{
        self, ExportError,
        http::{self, Security, SecurityError},
        prometheus::Prometheus,
    },
    kernel::loader::{Kernel, LoadError},
    probe::{PROBES, Probe, ProbeDesc, ProbeError},
    view::{ProbeState, ProbeStatus},
};

/// How long the tick under way may take to end when the daemon stops.
const STOP: Duration = Duration::from_secs(1);

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
    /// What the configuration names for HTTP cannot be used.
    #[error(transparent)]
    Security(#[from] SecurityError),
    /// Serving failed.
    #[error(transparent)]
    Export(#[from] ExportError),
}

/// A configuration, with what it names read.
pub struct Plan {
    config: Config,
    security: Security,
}

impl Plan {
    /// Reads what a configuration names.
    pub fn new(config: Config) -> Result<Self, DaemonError> {
        let security = Security::read(&config.tls, &config.auth)?;
        Ok(Self { config, security })
    }

    /// What is logged, and how.
    pub fn logs(&self) -> &LogConfig {
        &self.config.log
    }
}

/// Runs until `shutdown` completes; `reloads` are plans to change to.
pub async fn run(
    plan: Plan,
    reloads: mpsc::Receiver<Plan>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), DaemonError> {
    let Plan { config, security } = plan;
    let address = config.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| DaemonError::Listen { address, source })?;
    let address = listener.local_addr().unwrap_or(address);
    warn_of_strangers(address, &security);
    let scheme = if security.is_encrypted() { "https" } else { "http" };
    let (security, in_force) = watch::channel(Arc::new(security));
    let ticker = Ticker::new(&config);
    let (sender, views) = watch::channel(Arc::new(ticker.first_view()));
    let prometheus = Prometheus::new(views.clone(), export::resource())?;
    let (configs, orders) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new()
        .name("tick".to_owned())
        .spawn(move || ticker.run(&sender, &orders))
        .map_err(DaemonError::Thread)?;
    tracing::info!("serving {scheme}://{address}/metrics");
    let mut last = views.clone();
    let tick_loop_ended = async { while last.changed().await.is_ok() {} };
    let shutdown = async {
        tokio::select! {
            () = shutdown => Ok(()),
            () = tick_loop_ended => Err(DaemonError::Stopped),
            () = hand_on((address, config), reloads, &configs, &security) => Ok(()),
        }
    };
    let (ended, end) = tokio::sync::oneshot::channel();
    let shutdown = async {
        // The server is there to hear it, or has ended by itself.
        let _ = ended.send(shutdown.await);
    };
    http::serve(listener, http::State::new(prometheus, views, in_force), shutdown).await;
    let result = end.await.unwrap_or(Ok(()));
    drop(configs);
    let deadline = tokio::time::Instant::now() + STOP;
    while !thread.is_finished() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tracing::info!("stopped");
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
            "anybody who reaches this address can read what the host's processes are called and do; \
             set auth.tokens or auth.users"
        );
    } else if !security.is_encrypted() {
        tracing::warn!(
            %address,
            "tokens and passwords go through the network in the clear; set tls.certificate and tls.key"
        );
    }
}

/// Hands new configurations on to the tick loop, as far as they can be in force. Never completes.
async fn hand_on(
    (address, mut config): (SocketAddr, Config),
    mut reloads: mpsc::Receiver<Plan>,
    configs: &std::sync::mpsc::Sender<Config>,
    security: &watch::Sender<Arc<Security>>,
) {
    while let Some(new) = reloads.recv().await {
        warn_of_strangers(address, &new.security);
        // Connections that come from now on.
        security.send_replace(Arc::new(new.security));
        config = reload::settle(&config, new.config);
        // A tick loop that has ended is noticed by its views.
        let _ = configs.send(config.clone());
    }
    std::future::pending().await
}

/// A probe of the table, with what came of loading it.
pub struct Loaded {
    /// Its entry.
    pub desc: &'static ProbeDesc,
    /// The probe, if it works.
    pub probe: Option<Box<dyn Probe>>,
    /// What came of loading it.
    loaded: ProbeStatus,
    /// Why it could not be read in the last tick.
    failure: Option<String>,
}

impl Loaded {
    /// How it does.
    pub fn status(&self) -> ProbeStatus {
        match &self.failure {
            Some(reason) => ProbeStatus {
                state: ProbeState::Failed,
                reason: Some(reason.clone()),
                ..self.loaded.clone()
            },
            None => self.loaded.clone(),
        }
    }

    /// Does a part of a tick, and says why it failed. It is tried again in the next tick: the kernel
    /// goes on recording.
    fn attempt(
        &mut self,
        step: impl FnOnce(&mut dyn Probe) -> Result<(), ProbeError>,
    ) -> Option<String> {
        step(self.probe.as_mut()?.as_mut()).err().map(|error| chain(&error))
    }

    /// Notes how the tick went, and logs when that changes.
    fn note(&mut self, failure: Option<String>) {
        match (&self.failure, &failure) {
            (None, Some(reason)) => tracing::error!(probe = self.desc.name, "{reason}"),
            (Some(_), None) => tracing::info!(probe = self.desc.name, "works again"),
            _ => {}
        }
        self.failure = failure;
    }
}

/// Loads the probes that are configured to run. `mount` is where cgroups tell processes apart.
pub fn load_probes(config: &Config, mount: Option<&CgroupMount>) -> Vec<Loaded> {
    let kernel = read_kernel(config, mount);
    let probes = PROBES.iter().map(|desc| load_probe(desc, config.runs(desc.name), &kernel));
    let probes = probes.collect();
    drop(kernel);
    heap::give_back();
    probes
}

fn read_kernel(config: &Config, mount: Option<&CgroupMount>) -> Result<Kernel, LoadError> {
    let controller = mount.and_then(|mount| match mount.hierarchy {
        Hierarchy::V2 => None,
        Hierarchy::V1 { controller } => Some(controller),
    });
    let mut kernel = Kernel::read(controller, config.log.bpf)?;
    kernel.sys = config.host.paths().sys;
    Ok(kernel)
}

/// Turns probes on and off that are to run now and did not, or the other way. Returns those whose
/// measurements have ended.
fn switch_probes(
    probes: &mut [Loaded],
    config: &Config,
    mount: Option<&CgroupMount>,
) -> Vec<&'static str> {
    let runs = |loaded: &Loaded| loaded.loaded.state != ProbeState::Disabled;
    let changed = probes.iter_mut().filter(|loaded| config.runs(loaded.desc.name) != runs(loaded));
    let mut changed: Vec<_> = changed.collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let kernel = read_kernel(config, mount);
    for loaded in &mut changed {
        **loaded = load_probe(loaded.desc, config.runs(loaded.desc.name), &kernel);
    }
    drop(kernel);
    heap::give_back();
    changed.into_iter().filter(|loaded| !runs(loaded)).map(|loaded| loaded.desc.name).collect()
}

fn load_probe(desc: &'static ProbeDesc, runs: bool, kernel: &Result<Kernel, LoadError>) -> Loaded {
    let status = |state, reason, hooks| ProbeStatus { probe: desc.name, state, reason, hooks };
    let result = |probe, loaded| Loaded { desc, probe, loaded, failure: None };
    if !runs {
        return result(None, status(ProbeState::Disabled, None, Vec::new()));
    }
    let loaded = match kernel {
        Ok(kernel) => (desc.load)(kernel).map_err(|error| {
            let hooks = match &error {
                ProbeError::Hook { verdicts, .. } => verdicts.clone(),
                _ => Vec::new(),
            };
            (error.to_string(), hooks)
        }),
        Err(error) => Err((error.to_string(), Vec::new())),
    };
    match loaded {
        Ok(probe) => {
            let hooks = probe.verdicts().to_vec();
            let missing = hooks.iter().find(|hook| hook.state.is_missing());
            let reason = missing.map(|hook| format!("{}: {}", hook.hook, hook.state));
            let state = if reason.is_some() { ProbeState::Degraded } else { ProbeState::Active };
            result(Some(probe), status(state, reason, hooks))
        }
        Err((reason, hooks)) => {
            tracing::error!(probe = desc.name, "{reason}");
            result(None, status(ProbeState::Failed, Some(reason), hooks))
        }
    }
}
