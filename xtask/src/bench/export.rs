//! What it takes to send metrics by OTLP, beside what it takes the SDK alone.
//!
//! Ours sends a view that is there already, as it is for all exporters. The SDK's reader asks its
//! instruments for their values first: it has no other way.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};

use super::{
    Setup,
    report::{Figure, Unit},
    rounds::{interleave, median, ratio},
    service::Service,
};

/// Who exports, and how that is called.
const EXPORTERS: [&str; 2] = ["monitor", "sdk"];
/// The one that is configured where nothing is said, and none.
const COMPRESSIONS: [&str; 2] = ["gzip", "none"];
/// How long an exporter may take for all that it sends in a round.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Times of what the SDK takes.
const LIMIT_TIME: f64 = 1.0;
const LIMIT_SIZE: f64 = 1.05;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for compression in COMPRESSIONS {
        figures.extend(with(setup, compression)?);
    }
    Ok(figures)
}

fn with(setup: &Setup, compression: &str) -> Result<Vec<Figure>> {
    let mut sizes = [0.0; 2];
    let [ours, sdk] = interleave(setup.rounds, (EXPORTERS, "ms"), |variant| {
        let (time_ms, size) = export(setup, EXPORTERS[variant], compression)?;
        sizes[variant] = size;
        Ok(time_ms)
    })?;
    println!("{} and {} bytes", sizes[0], sizes[1]);
    let command =
        format!("`bench export monitor {compression}` and `bench export sdk {compression}`");
    let how = match compression {
        "none" => "uncompressed".to_owned(),
        name => format!("with {name}"),
    };
    let of_ours = |what: &str, value, unit| {
        let what = format!("{what} of an export of 10,000 series {how}");
        Figure::new(what, value, unit, command.clone())
    };
    let compared = |what: &str, value, limit| {
        let what = format!("{what} of an export of 10,000 series {how}, monitor / SDK alone");
        Figure::new(what, value, Unit::Ratio, command.clone()).at_most(limit)
    };
    Ok(vec![
        of_ours("CPU time", median(ours.clone()), Unit::Milliseconds),
        compared("CPU time", ratio(&ours, &sdk), LIMIT_TIME),
        of_ours("Size", sizes[0] / 1024.0, Unit::Kibibytes),
        compared("Size", sizes[0] / sizes[1], LIMIT_SIZE),
    ])
}

/// CPU time that an export took, in milliseconds, and how many bytes were sent.
fn export(setup: &Setup, exporter: &str, compression: &str) -> Result<(f64, f64)> {
    let mut command = Command::new(&setup.helper);
    // The SDK reads variables.
    command.args(["export", exporter, compression]).env_clear();
    let said = Service::finish("export", &mut command, TIMEOUT)?;
    let (seconds, size) = said.split_once(' ').with_context(|| format!("no numbers: {said}"))?;
    Ok((seconds.parse::<f64>()? * 1e3, size.trim().parse()?))
}
