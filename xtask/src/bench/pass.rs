//! One pass over many threads of which few have news, beside what reads as much from files.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::{
    Setup,
    crowd::Crowd,
    report::{Figure, Unit},
    rounds::{interleave, median, ratio},
    service::Service,
};

/// 10,000 threads of which 200 run in a second.
const CROWD: Crowd = Crowd { processes: 10, threads: 1000, woken: 200 };
/// Passes in a round.
const PASSES: usize = 3;
/// How long they may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Of what reading every thread's file takes.
const LIMIT: f64 = 0.06;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let crowd = CROWD.start()?;
    let names = ["pass", "files"];
    let [passes, files] = interleave(setup.rounds, (names, "ms"), |variant| match variant {
        0 => pass(setup),
        _ => read_files(),
    })?;
    crowd.stop()?;
    let what = "One pass over 10,000 threads, 200 of them woken a second";
    let command = format!("`bench pass {PASSES}`, which is `monitor/examples/bench`");
    let beside = format!("{command}, and reading `/proc/<pid>/task/<tid>/schedstat` of all");
    let ratio = ratio(&passes, &files);
    Ok(vec![
        Figure::new(what, median(passes), Unit::Milliseconds, command),
        Figure::new(format!("{what} / reading their files"), ratio, Unit::Ratio, beside)
            .at_most(LIMIT),
    ])
}

/// How many milliseconds a pass takes.
fn pass(setup: &Setup) -> Result<f64> {
    let mut command = Command::new(&setup.helper);
    let said = Service::finish("pass", command.args(["pass", &PASSES.to_string()]), TIMEOUT)?;
    let mut times_ms = Vec::new();
    for line in said.lines() {
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [seconds, threads, _] = numbers[..] else { continue };
        ensure!(threads >= f64::from(CROWD.processes * CROWD.threads), "the crowd was not seen");
        times_ms.push(seconds * 1e3);
    }
    ensure!(times_ms.len() == PASSES, "{} passes instead of {PASSES}:\n{said}", times_ms.len());
    Ok(median(times_ms))
}

/// How many milliseconds it takes to read how long each thread ran and waited.
fn read_files() -> Result<f64> {
    let begin = Instant::now();
    let mut threads = 0;
    for process in fs::read_dir("/proc").context("cannot list processes")?.flatten() {
        // What is no process, or has ended, has no such folder.
        let Ok(tasks) = fs::read_dir(process.path().join("task")) else { continue };
        for task in tasks.flatten() {
            threads += u32::from(fs::read(task.path().join("schedstat")).is_ok());
        }
    }
    ensure!(threads >= CROWD.processes * CROWD.threads, "the crowd was not seen");
    Ok(begin.elapsed().as_secs_f64() * 1e3)
}
