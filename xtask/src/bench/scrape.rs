//! What a scrape costs, and how large it is.

use std::{net::SocketAddr, process::Command, time::Duration};

use anyhow::{Context, Result};
use monitor_backends::{free_port, http};

use super::{
    Setup, clock,
    crowd::Crowd,
    daemon::Daemon,
    machine,
    report::{Figure, Unit},
    rounds::{interleave, median, ratio},
    service::{Service, pause},
};

/// Processes that there are at least for the default set.
const PROCESSES: usize = 100;
/// Scrapes that are not counted, and those that are.
const WARM_UP: u32 = 3;
const SCRAPES: u32 = 10;
/// How long an exporter may take to start.
const START: Duration = Duration::from_secs(30);

/// In the default set, of what node_exporter takes.
const LIMIT_DEFAULT: f64 = 0.5;
/// A tenth of what process-exporter 0.7 took for as many processes when this was designed.
const LIMIT_DETAIL_MS: f64 = 85.0;

/// The processes that detail is asked for, each of which runs every ten seconds.
const DETAIL: Crowd = Crowd { processes: 2000, threads: 1, woken: 200 };
const DETAIL_ARGUMENTS: [&str; 4] = ["--group-by", "process", "--top", "3000"];
/// Until each of them has run.
const DETAIL_WAIT: Duration = Duration::from_secs(12);

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let mut figures = default_set(setup)?;
    figures.push(detail(setup)?);
    Ok(figures)
}

fn default_set(setup: &Setup) -> Result<Vec<Figure>> {
    let more = PROCESSES.saturating_sub(machine::processes()? + 1) as u32;
    let crowd = Crowd { processes: more, threads: 1, woken: 0 }.start()?;
    let mut sizes = [0, 0];
    let names = ["monitor", "node_exporter"];
    let [monitor, node_exporter] = interleave(setup.rounds, (names, "ms"), |variant| {
        let (time_ms, size);
        if variant == 0 {
            let daemon = Daemon::start(&setup.daemon, &[])?;
            (time_ms, size) = scrape(daemon.pid(), daemon.address())?;
            daemon.stop()?;
        } else {
            let (service, address) = start_node_exporter()?;
            (time_ms, size) = scrape(service.pid(), address)?;
            service.stop()?;
        }
        sizes[variant] = size;
        Ok(time_ms)
    })?;
    let processes = machine::processes()?;
    crowd.stop()?;
    println!("{} and {} bytes", sizes[0], sizes[1]);
    let command = "`GET /metrics` as text from `monitor run` and `prometheus-node-exporter`";
    let figure = |what: &str, value| {
        let what = format!("{what} of a scrape, monitor / node_exporter, {processes} processes");
        Figure::new(what, value, Unit::Ratio, command)
    };
    Ok(vec![
        figure("CPU time", ratio(&monitor, &node_exporter)).at_most(LIMIT_DEFAULT),
        figure("Size", sizes[0] as f64 / sizes[1] as f64),
    ])
}

fn detail(setup: &Setup) -> Result<Figure> {
    let daemon = Daemon::start(&setup.daemon, &DETAIL_ARGUMENTS)?;
    let crowd = DETAIL.start()?;
    pause(DETAIL_WAIT)?;
    let mut size = 0;
    let [times_ms] = interleave(setup.rounds, (["monitor"], "ms"), |_| {
        let (time_ms, bytes) = scrape(daemon.pid(), daemon.address())?;
        size = bytes;
        Ok(time_ms)
    })?;
    daemon.stop()?;
    crowd.stop()?;
    println!("{size} bytes");
    let what = "CPU time of a scrape with detail per process, 2,000 more processes";
    let command =
        format!("`GET /metrics` as text from `monitor run {}`", DETAIL_ARGUMENTS.join(" "));
    Ok(Figure::new(what, median(times_ms), Unit::Milliseconds, command).at_most(LIMIT_DETAIL_MS))
}

/// CPU time that a server uses for a scrape, in milliseconds, and the size of it. One after the
/// other, so that next to nothing of what a server does besides is counted.
fn scrape(pid: u32, address: SocketAddr) -> Result<(f64, usize)> {
    let mut size = 0;
    for _ in 0..WARM_UP {
        http::get(address, "/metrics")?;
    }
    let before = clock::cpu_time(pid)?;
    for _ in 0..SCRAPES {
        size = http::get(address, "/metrics")?.len();
    }
    let used = clock::cpu_time(pid)? - before;
    Ok((used.as_secs_f64() * 1e3 / f64::from(SCRAPES), size))
}

/// Starts node_exporter with its default collectors.
fn start_node_exporter() -> Result<(Service, SocketAddr)> {
    let address = free_port(0)?;
    let mut command = Command::new("prometheus-node-exporter");
    command.arg(format!("--web.listen-address={address}"));
    let mut service = Service::start("node_exporter", &mut command)?;
    service
        .wait_until(START, |_| http::get(address, "/metrics").is_ok())
        .context("node_exporter does not serve")?;
    Ok((service, address))
}
