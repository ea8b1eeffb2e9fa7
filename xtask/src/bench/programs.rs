//! Time in the programs of a context switch, as the kernel counts it while two threads wake each
//! other.

use anyhow::{Result, ensure};

use super::{
    Setup,
    bpf::{self, Program, Statistics},
    daemon::Daemon,
    pingpong,
    report::{Figure, Unit},
    rounds::{interleave, ratio},
};

const LIMIT_EMPTY: f64 = 3.2;
const LIMIT_RUNQLAT: f64 = 0.4;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let names = ["empty pair", "monitor", "runqlat"];
    let [empty, monitor, runqlat] = interleave(setup.rounds, (names, "ns a switch"), |variant| {
        let _statistics = Statistics::enable()?;
        if variant == 1 {
            let daemon = Daemon::start(&setup.daemon, &[])?;
            let time = time_per_switch(daemon.pid())?;
            daemon.stop()?;
            return Ok(time);
        }
        let service = if variant == 0 {
            pingpong::empty_programs(setup)?
        } else {
            pingpong::runqlat_programs()?
        };
        let time = time_per_switch(service.pid())?;
        service.stop()?;
        Ok(time)
    })?;
    let command = format!("BPF statistics during `{}`", pingpong::COMMAND);
    let figure = |other, values: &[f64]| {
        let what = format!("Time in programs per switch and wakeup, monitor / {other}");
        Figure::new(what, ratio(&monitor, values), Unit::Ratio, command.clone())
    };
    Ok(vec![
        figure("empty programs", &empty).at_most(LIMIT_EMPTY),
        figure("runqlat -P", &runqlat).at_most(LIMIT_RUNQLAT),
    ])
}

/// Mean time of a process's program for a switch, and of the one for a wakeup, together.
fn time_per_switch(pid: u32) -> Result<f64> {
    let before = bpf::programs(pid)?;
    pingpong::play()?;
    let (mut switch, mut wakeup) = (Program::default(), Program::default());
    for (id, after) in bpf::programs(pid)? {
        let before = before.get(&id).copied().unwrap_or_default();
        let name = bpf::name(id)?;
        let sum = match name.as_str() {
            name if name.contains("sched_switch") => &mut switch,
            name if name.ends_with("sched_wakeup") => &mut wakeup,
            _ => continue,
        };
        sum.time_ns += after.time_ns - before.time_ns;
        sum.runs += after.runs - before.runs;
    }
    ensure!(switch.runs > 0 && wakeup.runs > 0, "process {pid} has no programs that ran");
    let mean = |program: Program| program.time_ns as f64 / program.runs as f64;
    Ok(mean(switch) + mean(wakeup))
}
