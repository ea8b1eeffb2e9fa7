//! The Collector, with the configurations that are deployed.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::Result;

use crate::{
    programs::{Programs, repository},
    service::{Service, free_port},
};

/// The token that it takes data with.
pub const TOKEN: &str = "pipeline";

/// Where it listens.
#[derive(Clone, Copy)]
pub struct Ports {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub health: SocketAddr,
    /// Where it sends to itself what is on its way to CloudWatch.
    pub cloudwatch: SocketAddr,
}

impl Ports {
    /// The usual ones, or those that are free where they are not.
    pub fn usual() -> Result<Self> {
        Self::near([4317, 4318, 13133, 4319])
    }

    /// Any that are free.
    pub fn free() -> Result<Self> {
        Self::near([0; 4])
    }

    fn near([grpc, http, health, cloudwatch]: [u16; 4]) -> Result<Self> {
        Ok(Self {
            grpc: free_port(grpc)?,
            http: free_port(http)?,
            health: free_port(health)?,
            cloudwatch: free_port(cloudwatch)?,
        })
    }
}

/// A Collector that is not running.
#[derive(Clone)]
pub struct Collector {
    ports: Ports,
    /// The files in `otel-collector/` that it is started with.
    configs: Vec<&'static str>,
    /// One more, on top of them.
    changes: Option<PathBuf>,
    variables: Vec<(&'static str, String)>,
}

impl Collector {
    /// One that is started with these files of `otel-collector/`.
    pub fn new(ports: Ports, configs: &[&'static str]) -> Self {
        let port = |address: SocketAddr| address.port().to_string();
        let variables = vec![
            ("COLLECTOR_TOKEN", TOKEN.to_owned()),
            ("COLLECTOR_GRPC_PORT", port(ports.grpc)),
            ("COLLECTOR_HTTP_PORT", port(ports.http)),
            ("COLLECTOR_HEALTH_PORT", port(ports.health)),
            ("COLLECTOR_CLOUDWATCH_PORT", port(ports.cloudwatch)),
            // Nobody is asked whether this is a machine of EC2.
            ("COLLECTOR_DETECTORS", "[env]".to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("AWS_REGION", "eu-west-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        Self { ports, configs: configs.to_vec(), changes: None, variables }
    }

    /// Where it sends to. VictoriaLogs takes logs by OTLP as Loki does, at a path of its own.
    pub fn stores(self, prometheus: SocketAddr, logs: SocketAddr, moto: SocketAddr) -> Self {
        self.with("PROMETHEUS_OTLP_URL", format!("http://{prometheus}/api/v1/otlp"))
            .with("LOKI_OTLP_URL", format!("http://{logs}/insert/opentelemetry"))
            .with("AWS_ENDPOINT_URL", format!("http://{moto}"))
    }

    /// With one more variable.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    /// With a configuration on top.
    pub fn changed_by(mut self, config: &Path) -> Self {
        self.changes = Some(config.to_owned());
        self
    }

    /// Starts it, with its queues in `folder`: it goes on where one that ended there was.
    pub fn start(&self, programs: &Programs, folder: &Path) -> Result<Service> {
        let mut command = self.command(programs);
        command.env("COLLECTOR_STATE", folder.join("collector"));
        let Ports { http, health, .. } = self.ports;
        Service::start("collector", command, folder, http, (health, "/"))
    }

    /// The command that runs it, but for where it keeps its queues.
    pub fn command(&self, programs: &Programs) -> Command {
        let mut command = Command::new(programs.collector());
        for (name, _) in env::vars_os() {
            let name = name.to_string_lossy().into_owned();
            if ["AWS_", "CLOUDWATCH_", "COLLECTOR_", "LOKI_", "OTEL_", "PROMETHEUS_"]
                .iter()
                .any(|own| name.starts_with(own))
            {
                command.env_remove(name);
            }
        }
        for config in &self.configs {
            command.arg("--config").arg(Self::file(config));
        }
        if let Some(changes) = &self.changes {
            command.arg("--config").arg(changes);
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Where a configuration is.
    pub fn file(name: &str) -> PathBuf {
        repository().join("otel-collector").join(name)
    }
}
