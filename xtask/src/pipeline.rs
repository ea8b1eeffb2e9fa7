//! The Collector and the stores behind it on this machine, to try out what the daemon sends.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use monitor_backends::{Addresses, Pipeline, TOKEN, terminate};

use crate::setup;

/// How long a service may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Args {
    what: What,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// Start them; they go on until they are stopped
    Up,
    /// Stop them, and remove what they kept
    Down,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match args.what {
        What::Up => up(),
        What::Down => down(),
    }
}

fn up() -> Result<()> {
    let folder = folder();
    if folder.exists() {
        bail!(
            "{} is there from an earlier run; `cargo xtask pipeline down` ends it",
            folder.display()
        );
    }
    setup::backends()?;
    let pipeline = Pipeline::new(&folder, Addresses::usual()?)?;
    let mut running = pipeline.start()?;
    let Addresses { prometheus, logs, moto, collector } = pipeline.addresses;
    println!(
        "collector   http://{}; by gRPC http://{}; token {TOKEN}",
        collector.http, collector.grpc
    );
    println!("prometheus  http://{prometheus}");
    println!("logs        http://{logs}/select/vmui");
    println!("moto        http://{moto}, CloudWatch in eu-west-1 as moto plays it");
    println!("a daemon that sends here, as root:");
    println!("    OTEL_EXPORTER_OTLP_HEADERS='authorization=Bearer {TOKEN}' \\");
    println!("        monitor run --otlp-endpoint http://{}", collector.grpc);
    println!("data and logs in {}; `cargo xtask pipeline down` ends it", folder.display());
    // The Collector ends first, while there is somebody to send to.
    running.reverse();
    let running = running.map(|service| format!("{} {}\n", service.name(), service.detach()));
    fs::write(pids(), running.concat())
        .with_context(|| format!("cannot write {}", pids().display()))
}

fn down() -> Result<()> {
    let running = match fs::read_to_string(pids()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", pids().display()))?,
    };
    for line in running.lines() {
        let (name, pid) = line.split_once(' ').context("a line without a process")?;
        stop(name, pid.parse()?)?;
    }
    let folder = folder();
    if folder.exists() {
        fs::remove_dir_all(&folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// Ends a service, unless it has ended and its process id is another one's by now.
fn stop(name: &str, pid: u32) -> Result<()> {
    let folder = folder();
    let path = folder.join(format!("{name}.log"));
    let is_ours = fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|file| file == path);
    if !is_ours {
        println!("{name} had ended by itself");
        return Ok(());
    }
    terminate(pid).with_context(|| format!("cannot end {name}, process {pid}"))?;
    let start = Instant::now();
    while Path::new(&format!("/proc/{pid}")).exists() {
        if start.elapsed() > STOP_TIMEOUT {
            bail!("{name}, process {pid}, does not end; see {}", path.display());
        }
        thread::sleep(POLL);
    }
    println!("{name} has ended");
    Ok(())
}

/// Where everything is that they write.
fn folder() -> PathBuf {
    env::temp_dir().join("monitor-pipeline")
}

/// Who they are.
fn pids() -> PathBuf {
    folder().join("pids")
}
