//! Exporters that are not ours, which ours is compared with.

use std::{fs, net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, Result};
use monitor_backends::{free_port, http};

use super::service::Service;
use crate::workspace;

/// How long an exporter may take to start.
const START: Duration = Duration::from_secs(30);
/// A group for each process that has a command line.
const GROUPS: &str = "process_names:\n  - name: \"{{.Comm}} {{.PID}}\"\n    cmdline: [\".+\"]\n";

pub(super) struct Exporter {
    service: Service,
    address: SocketAddr,
}

impl Exporter {
    /// node_exporter with its default collectors.
    pub(super) fn node() -> Result<Self> {
        Self::start("node_exporter", &mut Command::new("prometheus-node-exporter"))
    }

    /// process-exporter, with each process apart.
    pub(super) fn process() -> Result<Self> {
        let config = workspace::root().join("target/bench/process-exporter.yaml");
        fs::write(&config, GROUPS).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new("prometheus-process-exporter");
        Self::start("process-exporter", command.arg("--config.path").arg(config))
    }

    fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let address = free_port(0)?;
        command.arg(format!("--web.listen-address={address}"));
        let mut service = Service::start(name, command)?;
        service
            .wait_until(START, |_| http::get(address, "/metrics").is_ok())
            .with_context(|| format!("{name} does not serve"))?;
        Ok(Self { service, address })
    }

    pub(super) fn pid(&self) -> u32 {
        self.service.pid()
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it; fails when it has ended by itself.
    pub(super) fn stop(self) -> Result<()> {
        self.service.stop()
    }
}
