//! What a scrape costs, and how large it is.

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use monitor_backends::http;

use super::{
    Setup, clock,
    crowd::Crowd,
    daemon::Daemon,
    exporter::Exporter,
    machine,
    report::{Figure, Unit},
    rounds::{interleave, median, ratio},
    service::pause,
};

/// Processes that there are at least for the default set.
const PROCESSES: usize = 100;
/// Scrapes that are not counted, and those that are.
const WARM_UP: u32 = 3;
const SCRAPES: u32 = 10;

/// In the default set, of what node_exporter takes.
const LIMIT_DEFAULT: f64 = 0.5;
/// With detail per process, of what process-exporter takes.
const LIMIT_DETAIL: f64 = 0.1;

/// The processes that detail is asked for, each of which runs every ten seconds.
const DETAIL: Crowd = Crowd { processes: 2000, threads: 1, woken: 200 };
const DETAIL_ARGUMENTS: [&str; 4] = ["--group-by", "process", "--top", "3000"];
/// Until each of them has run.
const DETAIL_WAIT: Duration = Duration::from_secs(12);

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let mut figures = default_set(setup)?;
    figures.extend(detail(setup)?);
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
            let exporter = Exporter::node()?;
            (time_ms, size) = scrape(exporter.pid(), exporter.address())?;
            exporter.stop()?;
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

fn detail(setup: &Setup) -> Result<Vec<Figure>> {
    let daemon = Daemon::start(&setup.daemon, &DETAIL_ARGUMENTS)?;
    let exporter = Exporter::process()?;
    let crowd = DETAIL.start()?;
    pause(DETAIL_WAIT)?;
    let mut sizes = [0, 0];
    let servers = [(daemon.pid(), daemon.address()), (exporter.pid(), exporter.address())];
    let names = ["monitor", "process-exporter"];
    let [monitor, process_exporter] = interleave(setup.rounds, (names, "ms"), |variant| {
        let (pid, address) = servers[variant];
        let (time_ms, bytes) = scrape(pid, address)?;
        sizes[variant] = bytes;
        Ok(time_ms)
    })?;
    daemon.stop()?;
    exporter.stop()?;
    crowd.stop()?;
    println!("{} and {} bytes", sizes[0], sizes[1]);
    let what = "CPU time of a scrape with detail per process";
    let processes = format!("{} more processes", DETAIL.processes);
    let command =
        format!("`GET /metrics` as text from `monitor run {}`", DETAIL_ARGUMENTS.join(" "));
    let beside = format!("{command} and `prometheus-process-exporter` with a group for each");
    let ratio = ratio(&monitor, &process_exporter);
    let time =
        Figure::new(format!("{what}, {processes}"), median(monitor), Unit::Milliseconds, command);
    let what = format!("{what}, monitor / process-exporter, {processes}");
    Ok(vec![time, Figure::new(what, ratio, Unit::Ratio, beside).at_most(LIMIT_DETAIL)])
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
