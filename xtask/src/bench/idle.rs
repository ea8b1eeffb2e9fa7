//! CPU time of the daemon while nothing happens and nobody asks it, beside an exporter that is asked.

use std::time::{Duration, Instant};

use anyhow::Result;
use monitor_backends::http;

use super::{
    Setup, clock,
    crowd::Crowd,
    daemon::Daemon,
    exporter::Exporter,
    machine,
    report::{Figure, Unit},
    rounds::{median, ratio},
    service::pause,
};

/// How many processes there are, and the limit of what node_exporter uses that is scraped as often as the
/// daemon measures.
const LIMITS: [(usize, Option<f64>); 2] = [(100, Some(0.35)), (5000, None)];
/// Some of what the daemon reads it reads every 15 seconds.
const WINDOW: Duration = Duration::from_secs(15);
/// The daemon's interval.
const TICK: Duration = Duration::from_secs(1);

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (processes, limit) in LIMITS {
        let [percent, of_exporter] = with(setup, processes)?;
        figures.push(percent);
        figures.extend(limit.map(|limit| of_exporter.at_most(limit)));
    }
    Ok(figures)
}

fn with(setup: &Setup, processes: usize) -> Result<[Figure; 2]> {
    let more = processes.saturating_sub(machine::processes()? + 3) as u32;
    let crowd = Crowd { processes: more, threads: 1, woken: 0 }.start()?;
    let exporter = Exporter::node()?;
    let daemon = Daemon::start(&setup.daemon, &[])?;
    let processes = machine::processes()?;
    println!("{} windows of {WINDOW:?} with {processes} processes", setup.rounds);
    let pids = [daemon.pid(), exporter.pid()];
    let mut samples = [const { Vec::new() }; 2];
    for _ in 0..setup.rounds {
        let begin = Instant::now();
        let before = pids.map(clock::cpu_time);
        while begin.elapsed() < WINDOW {
            http::get(exporter.address(), "/metrics")?;
            pause(TICK)?;
        }
        let seconds = begin.elapsed().as_secs_f64();
        for ((samples, before), pid) in samples.iter_mut().zip(before).zip(pids) {
            let used = clock::cpu_time(pid)? - before?;
            samples.push(100.0 * used.as_secs_f64() / seconds);
        }
    }
    daemon.stop()?;
    exporter.stop()?;
    crowd.stop()?;
    println!("{processes} processes: {samples:.3?} % of a CPU");
    let [monitor, node_exporter] = samples;
    let what = "CPU while idle and unscraped, one tick a second";
    let figure = |of: &str, value, unit, beside: &str| {
        let what = format!("{what}{of}, {processes} processes");
        Figure::new(what, value, unit, format!("`monitor run`{beside}: CPU clock of the process"))
    };
    let beside = " and `prometheus-node-exporter` with a scrape a second";
    Ok([
        figure("", median(monitor.clone()), Unit::Percent, ""),
        figure(", monitor / node_exporter", ratio(&monitor, &node_exporter), Unit::Ratio, beside),
    ])
}
