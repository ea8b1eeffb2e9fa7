//! CPU time of the daemon while nothing happens and nobody asks.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    Setup, clock,
    crowd::Crowd,
    daemon::Daemon,
    machine,
    report::{Figure, Unit},
    rounds::median,
    service::pause,
};

/// Processes, and the limit in percent of a CPU.
const LIMITS: [(usize, Option<f64>); 2] = [(100, Some(0.3)), (5000, None)];
/// Some of what the daemon reads it reads every 15 seconds.
const WINDOW: Duration = Duration::from_secs(15);

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for (processes, limit) in LIMITS {
        let figure = with(setup, processes)?;
        figures.push(match limit {
            Some(limit) => figure.at_most(limit),
            None => figure,
        });
    }
    Ok(figures)
}

fn with(setup: &Setup, processes: usize) -> Result<Figure> {
    let more = processes.saturating_sub(machine::processes()? + 2) as u32;
    let crowd = Crowd { processes: more, threads: 1, woken: 0 }.start()?;
    let daemon = Daemon::start(&setup.daemon, &[])?;
    let processes = machine::processes()?;
    println!("{} windows of {WINDOW:?} with {processes} processes", setup.rounds);
    let mut samples = Vec::new();
    for _ in 0..setup.rounds {
        let (begin, before) = (Instant::now(), clock::cpu_time(daemon.pid())?);
        pause(WINDOW)?;
        let used = clock::cpu_time(daemon.pid())? - before;
        samples.push(100.0 * used.as_secs_f64() / begin.elapsed().as_secs_f64());
    }
    daemon.stop()?;
    crowd.stop()?;
    println!("{processes} processes: {samples:.3?} % of a CPU");
    let what = format!("CPU while idle and unscraped, one tick a second, {processes} processes");
    let command = "`monitor run`: CPU clock of the process";
    Ok(Figure::new(what, median(samples), Unit::Percent, command))
}
