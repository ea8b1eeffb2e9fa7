//! One pass over many threads of which few have news.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    Setup,
    crowd::Crowd,
    report::{Figure, Unit},
    rounds::median,
    service::Service,
};

/// 10,000 threads of which 200 run in a second.
const CROWD: Crowd = Crowd { processes: 10, threads: 1000, woken: 200 };
/// Passes for each round of the other benchmarks.
const PASSES: usize = 3;

const LIMIT_MS: f64 = 5.0;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let crowd = CROWD.start()?;
    let count = PASSES * setup.rounds;
    println!("{count} passes, one a second");
    let timeout = Duration::from_secs(30 + 5 * count as u64);
    let mut command = Command::new(&setup.helper);
    let said = Service::finish("pass", command.args(["pass", &count.to_string()]), timeout)?;
    crowd.stop()?;
    let [mut times_ms, mut threads, mut changed] = [const { Vec::new() }; 3];
    for line in said.lines() {
        let numbers: Vec<f64> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [seconds, all, news] = numbers[..] else { continue };
        times_ms.push(seconds * 1e3);
        threads.push(all);
        changed.push(news);
    }
    ensure!(times_ms.len() == count, "{} passes instead of {count}:\n{said}", times_ms.len());
    let least = times_ms.iter().copied().min_by(f64::total_cmp).context("no pass")?;
    let (time_ms, threads, changed) = (median(times_ms), median(threads), median(changed));
    println!("{time_ms:.3} ms, at least {least:.3} ms; {threads} threads, {changed} with news");
    ensure!(threads >= f64::from(CROWD.processes * CROWD.threads), "the crowd was not seen");
    let what = "One pass over 10,000 threads, 200 of them woken a second";
    let command = format!("`bench pass {count}`, which is `monitor/examples/bench`");
    Ok(vec![Figure::new(what, time_ms, Unit::Milliseconds, command).at_most(LIMIT_MS)])
}
