//! The daemon that is measured.

use std::{env, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use monitor_backends::{free_port, http};

use super::service::{self, Service};
use crate::{command, workspace};

/// A configuration that says nothing.
const DEFAULTS: &str = "/dev/null";
/// The last part of a printed configuration: which probes run.
const PROBES: &str = "[probes]";

/// How long it may take to have its first numbers.
const START: Duration = Duration::from_secs(60);
/// How long it gets to come to rest then.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) struct Daemon {
    service: Service,
    address: SocketAddr,
}

impl Daemon {
    /// Starts it with the defaults and these arguments, and waits until it works.
    pub(super) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        Self::start_configured(program, Path::new(DEFAULTS), arguments)
    }

    /// Starts it with the defaults but one probe alone, and waits until it works.
    pub(super) fn start_probe(program: &Path, probe: &str) -> Result<Self> {
        let printed =
            command::output(Command::new(program).args(["config", "--config", DEFAULTS]))?;
        let (rest, probes) = printed.split_once(PROBES).context("the daemon has no probes")?;
        let mut config = format!("{rest}{PROBES}");
        for line in probes.lines().filter(|line| !line.is_empty()) {
            let name = line.split(' ').next().unwrap_or_default();
            config += &format!("\n{name} = {}", name == probe);
        }
        let path = workspace::root().join("target/bench/one-probe.toml");
        fs::write(&path, config).with_context(|| format!("cannot write {}", path.display()))?;
        Self::start_configured(program, &path, &[])
    }

    fn start_configured(program: &Path, config: &Path, arguments: &[&str]) -> Result<Self> {
        let address = free_port(0)?;
        let mut command = Command::new(program);
        command.arg("run").arg("--config").arg(config);
        command.args(["--listen", &address.to_string()]);
        // Nothing of what this machine configures counts.
        for (name, _) in env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"MONITOR_") {
                command.env_remove(name);
            }
        }
        let mut service = Service::start("monitor", command.args(arguments))?;
        service.wait_until(START, |_| http::get(address, "/ready").is_ok())?;
        let daemon = Self { service, address };
        let active = daemon.values("monitor_agent_probe_state", "\"active\"")?;
        ensure!(active.sum::<f64>() > 0.0, "no probe of the daemon is active");
        service::pause(SETTLE)?;
        Ok(daemon)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn pid(&self) -> u32 {
        self.service.pid()
    }

    /// The process's own memory and that of its maps in the kernel, in bytes. Asked after a scrape,
    /// as nobody runs it without.
    pub(super) fn memory(&self) -> Result<f64> {
        let maps: f64 = self.values("monitor_agent_map_size_bytes", "")?.sum();
        let path = format!("/proc/{}/status", self.pid());
        let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let resident = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"))
            .and_then(|size| size.parse::<f64>().ok())
            .with_context(|| format!("{path} has no VmRSS"))?;
        Ok(resident * 1024.0 + maps)
    }

    /// Ends it; fails when it has ended by itself.
    pub(super) fn stop(self) -> Result<()> {
        self.service.stop()
    }

    /// The values of a metric's series that have something in their labels.
    fn values(&self, metric: &str, label: &str) -> Result<impl Iterator<Item = f64>> {
        let page = http::get(self.address, "/metrics")?;
        let values: Vec<f64> = page
            .lines()
            .filter_map(|line| {
                let (labels, value) = line.strip_prefix(metric)?.rsplit_once(' ')?;
                labels.contains(label).then(|| value.parse().ok())?
            })
            .collect();
        Ok(values.into_iter())
    }
}
