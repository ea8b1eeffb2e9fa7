//! The command line: one thin function for each command.

mod check;
mod top;
mod variables;

use std::{
    env,
    io::{ErrorKind, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Result;
use clap::{Args, FromArgMatches, Parser, Subcommand, ValueEnum};
use tokio::sync::mpsc;

use crate::{
    attribution::GroupBy,
    catalogue,
    config::{Config, ConfigError, LogFormat, Origins, Protocol},
    daemon::{self, Plan},
    error::chain,
    event::{self, ArgvPolicy},
    export::otlp::Records,
    kernel::loader::BpfLevel,
    telemetry::Logs,
};

/// eBPF host profiler and exporter: latency histograms of every process for CPU, disk, network and memory
#[derive(Parser)]
#[command(name = "monitor", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon: measure, serve HTTP and export OTLP until stopped
    Run(Settings),
    /// Check kernel support of every probe and hook, with reasons
    Check {
        #[command(flatten)]
        settings: Settings,
        /// Measure for a while (10s by default) and compare counts with the kernel's own counters
        #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "10s",
              value_parser = humantime::parse_duration)]
        audit: Option<Duration>,
        /// Output format
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Show the busiest processes of a running daemon
    Top(top::TopArgs),
    /// Print the metric catalogue
    Metrics {
        /// Output format
        #[arg(long, default_value = "table")]
        format: catalogue::Format,
    },
    /// Print the effective configuration as TOML, with the origin of each value
    Config(Settings),
}

/// Output format of data.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Flags that override environment variables and the configuration file.
#[derive(Args, Clone)]
struct Settings {
    /// Where these values come from.
    #[arg(skip)]
    origins: Origins,
    /// Configuration file [default: /etc/monitor/monitor.toml, if it is there]
    #[arg(long, env = "MONITOR_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// HTTP listen address and port
    #[arg(long, env = "MONITOR_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Measurement interval (tick), such as 1s
    #[arg(long, env = "MONITOR_INTERVAL", value_parser = humantime::parse_duration)]
    interval: Option<Duration>,
    /// Mount point of the host's /proc, for containers
    #[arg(long, env = "MONITOR_HOST_PROC", value_name = "DIR")]
    host_proc: Option<PathBuf>,
    /// Mount point of the host's /sys, for containers
    #[arg(long, env = "MONITOR_HOST_SYS", value_name = "DIR")]
    host_sys: Option<PathBuf>,
    /// Mount point of the host's root directory, for containers
    #[arg(long, env = "MONITOR_HOST_ROOT", value_name = "DIR")]
    host_root: Option<PathBuf>,
    /// TLS certificate of the HTTP server, in PEM format
    #[arg(long, env = "MONITOR_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// Private key of the TLS certificate, in PEM format
    #[arg(long, env = "MONITOR_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// File of accepted bearer tokens, one per line
    #[arg(long, env = "MONITOR_AUTH_TOKENS", value_name = "FILE")]
    auth_tokens: Option<PathBuf>,
    /// File of accepted users for basic authentication, one user:password per line
    #[arg(long, env = "MONITOR_AUTH_USERS", value_name = "FILE")]
    auth_users: Option<PathBuf>,
    /// Grouping key of processes
    #[arg(long, env = "MONITOR_GROUP_BY")]
    group_by: Option<GroupBy>,
    /// Maximum number of exported groups (cardinality); the rest is "(other)"
    #[arg(long, env = "MONITOR_TOP", value_name = "N")]
    top: Option<usize>,
    /// Program arguments in exec events
    #[arg(long, env = "MONITOR_EVENTS_ARGV")]
    events_argv: Option<ArgvPolicy>,
    /// Events exported by OTLP, such as exec,exit,oom_kill
    #[arg(long, env = "MONITOR_EVENTS_EXPORT", value_delimiter = ',')]
    events_export: Option<Vec<event::Kind>>,
    /// OTLP endpoint of metrics and logs, such as http://localhost:4317
    #[arg(long, env = "MONITOR_OTLP_ENDPOINT", value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// OTLP protocol
    #[arg(long, env = "MONITOR_OTLP_PROTOCOL")]
    otlp_protocol: Option<Protocol>,
    /// Log level, or directives such as info,monitor::probe=debug
    #[arg(long, env = "MONITOR_LOG_LEVEL", value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log format
    #[arg(long, env = "MONITOR_LOG_FORMAT")]
    log_format: Option<LogFormat>,
    /// Log level of the BPF programs
    #[arg(long, env = "MONITOR_LOG_BPF")]
    log_bpf: Option<BpfLevel>,
}

impl Settings {
    /// The configuration in force.
    fn resolve(self) -> Result<Config, ConfigError> {
        let mut config = Config::read(self.config.as_deref())?;
        config.origins.extend(self.origins);
        set(&mut config.listen, self.listen);
        set(&mut config.interval, self.interval);
        let or = |file: &mut Option<PathBuf>, said: Option<PathBuf>| *file = said.or(file.take());
        or(&mut config.tls.certificate, self.tls_certificate);
        or(&mut config.tls.key, self.tls_key);
        or(&mut config.auth.tokens, self.auth_tokens);
        or(&mut config.auth.users, self.auth_users);
        set(&mut config.host.proc, self.host_proc);
        set(&mut config.host.sys, self.host_sys);
        set(&mut config.host.root, self.host_root);
        set(&mut config.groups.by, self.group_by);
        set(&mut config.groups.top, self.top);
        set(&mut config.events.argv, self.events_argv);
        set(&mut config.events.export, self.events_export);
        config.otlp.endpoint = self.otlp_endpoint.or(config.otlp.endpoint);
        set(&mut config.otlp.protocol, self.otlp_protocol);
        set(&mut config.log.level, self.log_level);
        set(&mut config.log.format, self.log_format);
        set(&mut config.log.bpf, self.log_bpf);
        config.validate()
    }
}

fn set<T>(value: &mut T, said: Option<T>) {
    if let Some(said) = said {
        *value = said;
    }
}

impl Cli {
    /// Reads the command line and the variables of the process. Ends it where they are wrong.
    pub fn read() -> Self {
        let line: Vec<_> = env::args_os().collect();
        let parsed = variables::parse(&line, |name| env::var_os(name));
        let cli = parsed.and_then(|(matches, origins)| {
            let mut cli = Self::from_arg_matches(&matches)?;
            if let Some(settings) = cli.settings() {
                settings.origins = origins;
            }
            Ok(cli)
        });
        cli.unwrap_or_else(|error| error.exit())
    }

    fn settings(&mut self) -> Option<&mut Settings> {
        match &mut self.command {
            Command::Run(settings)
            | Command::Check { settings, .. }
            | Command::Config(settings) => Some(settings),
            Command::Top(_) | Command::Metrics { .. } => None,
        }
    }
}

/// Does what the command line asks for.
pub fn run(cli: Cli) -> Result<ExitCode> {
    match cli.command {
        Command::Run(settings) => {
            let config = settings.clone().resolve()?;
            let records = Records::new();
            let logs = Logs::init(&config.log, records.clone())?;
            for (name, nearest) in variables::misspelt(names_of_variables()) {
                tracing::warn!("{name} is not a variable of monitor; did you mean {nearest}?");
            }
            let plan = Plan::new(config)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (sender, reloads) = mpsc::channel(1);
                let shutdown = shutdown()?;
                let reload = reload(settings, logs, sender)?;
                tokio::select! {
                    result = daemon::run(plan, records, reloads, shutdown) => anyhow::Ok(result?),
                    () = reload => Ok(()),
                }
            })?;
            // Threads that are still at work, such as one that waits for the kernel, end with us.
            runtime.shutdown_background();
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { settings, audit, format } => {
            check::run(settings.resolve()?, audit, format)
        }
        Command::Top(args) => top::run(&args),
        Command::Metrics { format } => print(&catalogue::render(format)),
        Command::Config(settings) => print(&settings.resolve()?.annotated()?),
    }
}

fn names_of_variables() -> impl Iterator<Item = String> {
    env::vars_os().filter_map(|(name, _)| name.into_string().ok())
}

/// Prints what was asked for. Who reads it may have seen enough before the end.
fn print(text: &str) -> Result<ExitCode> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Reads the configuration again each time the process is asked to, and hands it on. Never completes.
fn reload(
    settings: Settings,
    logs: Logs,
    plans: mpsc::Sender<Plan>,
) -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        while hangup.recv().await.is_some() {
            let config = settings.clone().resolve().map_err(anyhow::Error::from);
            let plan = config.and_then(|config| {
                let plan = Plan::new(config)?;
                logs.set(plan.logs())?;
                Ok(plan)
            });
            match plan {
                // Who does not take it any more is about to end.
                Ok(plan) => drop(plans.send(plan).await),
                Err(error) => tracing::error!(
                    "configuration not reloaded, the previous one stays in use: {}",
                    chain(error.as_ref())
                ),
            }
        }
        std::future::pending().await
    })
}

/// Completes when the process is asked to stop.
fn shutdown() -> Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
