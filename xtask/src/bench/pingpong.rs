//! Two threads that wake each other as fast as they can: the most a scheduler's programs can cost.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result};

use super::{
    Setup, bpf,
    daemon::Daemon,
    report::{Figure, Unit},
    rounds::{interleave, ratio, several},
    service::{self, Service},
};

/// Two threads on one CPU, so that each of as many messages is a switch.
pub(super) const COMMAND: &str = "taskset -c 1 perf bench -f simple sched pipe -T -l 100000";

/// How long it may take, ten times what it does on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(120);
/// How long loading programs may take.
const LOAD: Duration = Duration::from_secs(30);
/// Wakeup of a thread, of a new one, and the switch.
const HOOKS: usize = 3;

/// With all probes, of what empty programs cost: those alone are most of it, and how much differs from
/// machine to machine.
const LIMIT: f64 = 1.06;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let names = ["without", "empty programs", "sched", "all", "runqlat"];
    let [without, empty, sched, all, runqlat] =
        interleave(setup.rounds, (names, "s"), |variant| {
            bpf::require_statistics_off()?;
            let beside = match variant {
                1 => Some(empty_programs(setup)?),
                4 => Some(runqlat_programs()?),
                _ => None,
            };
            let daemon = match variant {
                2 => Some(Daemon::start_probe(&setup.daemon, "sched")?),
                3 => Some(Daemon::start(&setup.daemon, &[])?),
                _ => None,
            };
            let seconds = several(play)?;
            daemon.map_or(Ok(()), Daemon::stop)?;
            beside.map_or(Ok(()), Service::stop)?;
            Ok(seconds)
        })?;
    let command = |beside: &str| format!("`{COMMAND}`{beside}");
    let figure = |what, beside, values: &[f64]| {
        let ratio = ratio(values, &without);
        Figure::new(format!("{what} / without"), ratio, Unit::Ratio, command(beside))
    };
    let of_empty = Figure::new(
        "Ping-pong with all probes / with empty programs on the same hooks",
        ratio(&all, &empty),
        Unit::Ratio,
        command(" beside `monitor run`"),
    );
    Ok(vec![
        of_empty.at_most(LIMIT),
        figure("Ping-pong with the sched probe", " beside `monitor run` with no other", &sched),
        figure("Ping-pong with all probes", " beside `monitor run`", &all),
        figure("Ping-pong with empty programs on the same hooks", " beside them", &empty),
        figure("Ping-pong with runqlat", " beside `runqlat -P`", &runqlat),
    ])
}

/// Runs the workload; how many seconds it took.
pub(super) fn play() -> Result<f64> {
    let mut words = COMMAND.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    let said = Service::finish("perf", &mut command, TIMEOUT)?;
    let last = said.lines().last().unwrap_or_default();
    last.trim().parse().with_context(|| format!("perf bench says no time: {last}"))
}

/// Attaches the empty programs.
pub(super) fn empty_programs(setup: &Setup) -> Result<Service> {
    let mut command = Command::new(&setup.helper);
    let mut service = Service::start("empty", command.arg("empty").arg(&setup.empty))?;
    service.wait_until(LOAD, |service| service.said().contains("ready"))?;
    Ok(service)
}

/// Attaches the programs of `runqlat`.
pub(super) fn runqlat_programs() -> Result<Service> {
    let mut service = Service::start("runqlat", Command::new("runqlat").arg("-P"))?;
    // What it says is not written before it ends.
    service.wait_until(LOAD, |service| bpf::links(service.pid()) >= HOOKS)?;
    service::pause(Duration::from_millis(200))?;
    Ok(service)
}
