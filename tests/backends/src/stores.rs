//! What the Collector sends to.

use std::{fs, net::SocketAddr, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{
    programs::{Programs, repository},
    service::{Service, free_port},
};

/// Whether Prometheus takes the start of a counter for zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Starts {
    Used,
    NotUsed,
}

/// Prometheus, with its data in `folder`.
pub(crate) fn prometheus(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
    starts: Starts,
) -> Result<Service> {
    let config = repository().join("tests/backends/prometheus/prometheus.yml");
    let features = match starts {
        Starts::NotUsed => "--enable-feature=exemplar-storage",
        // Deltas become totals, which start with the first.
        Starts::Used => {
            "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion,otlp-deltatocumulative"
        }
    };
    let arguments = ["--web.enable-otlp-receiver", features];
    start_prometheus(programs, folder, address, &config, &arguments)
}

/// Prometheus that scrapes a daemon each second and takes the start of its counters for zero.
pub(crate) fn scraper(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
    daemon: SocketAddr,
) -> Result<Service> {
    let config = folder.join("scraper.yml");
    let text = format!(
        "scrape_configs:\n  - job_name: monitor\n    scrape_interval: 1s\n    \
         static_configs: [{{targets: [\"{daemon}\"]}}]\n"
    );
    fs::write(&config, text).with_context(|| format!("cannot write {}", config.display()))?;
    let arguments = ["--enable-feature=created-timestamp-zero-ingestion,native-histograms"];
    start_prometheus(programs, folder, address, &config, &arguments)
}

fn start_prometheus(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
    config: &Path,
    arguments: &[&str],
) -> Result<Service> {
    let mut command = Command::new(programs.prometheus());
    command
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data(folder, "prometheus")?))
        .arg(format!("--web.listen-address={address}"))
        .args(arguments);
    Service::start("prometheus", command, folder, address, (address, "/-/ready"))
}

/// VictoriaLogs, with its data in `folder`.
pub(crate) fn victoria_logs(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
) -> Result<Service> {
    let mut command = Command::new(programs.victoria_logs());
    command
        .arg(format!("-storageDataPath={}", data(folder, "victoria-logs")?))
        .arg(format!("-httpListenAddr={address}"))
        .args(["-retentionPeriod=1d", "-loggerLevel=WARN"]);
    Service::start("victoria-logs", command, folder, address, (address, "/health"))
}

/// A Kafka broker, with everything in memory.
pub(crate) fn kafka(
    programs: &Programs,
    folder: &Path,
    address: SocketAddr,
    topics: &[&str],
) -> Result<Service> {
    let ready = free_port(0)?;
    let mut command = Command::new(programs.kafka());
    command.args([format!("-port={}", address.port()), format!("-ready={ready}")]).args(topics);
    Service::start("kafka", command, folder, address, (ready, "/"))
}

/// moto in the place of AWS. It keeps everything in memory.
pub(crate) fn moto(programs: &Programs, folder: &Path, address: SocketAddr) -> Result<Service> {
    let mut command = Command::new(programs.moto());
    command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
    Service::start("moto", command, folder, address, (address, "/moto-api/"))
}

/// A folder for what a service keeps.
fn data(folder: &Path, name: &str) -> Result<String> {
    let path = folder.join(name);
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path.display().to_string())
}
