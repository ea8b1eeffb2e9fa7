//! CPU time of a round of the self-audit.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};

use super::{
    Setup,
    report::{Figure, Unit},
    rounds::median,
    service::Service,
};

/// Rounds of the audit for each round of the other benchmarks.
const AUDITS: usize = 20;

/// One hundredth of a percent of a CPU, at one round a minute.
const LIMIT_MS: f64 = 6.0;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let count = AUDITS * setup.rounds;
    let mut command = Command::new(&setup.helper);
    command.args(["audit", &count.to_string()]);
    let said = Service::finish("audit", &mut command, Duration::from_secs(60))?;
    let times_ms: Vec<f64> = said
        .lines()
        .filter_map(|line| line.parse::<f64>().ok())
        .map(|seconds| seconds * 1e3)
        .collect();
    ensure!(times_ms.len() == count, "{} rounds instead of {count}:\n{said}", times_ms.len());
    let what = "CPU time of a round of the self-audit, of which there is one a minute";
    let command = format!("`bench audit {count}`, which is `monitor/examples/bench`");
    Ok(vec![Figure::new(what, median(times_ms), Unit::Milliseconds, command).at_most(LIMIT_MS)])
}
