//! What the daemon takes of memory: its own, and that of its maps in the kernel.

use std::time::Duration;

use anyhow::Result;

use super::{
    Setup,
    crowd::Crowd,
    daemon::Daemon,
    machine,
    report::{Figure, Unit},
    rounds::median,
    service::pause,
    sysctl::Setting,
};

/// Processes, and how much may be taken then, in MiB.
const LIMITS: [(usize, f64); 2] = [(200, 48.0), (10_000, 96.0)];
/// Of all processes, how many are woken in a second.
const WOKEN: u32 = 200;
/// What systemd sets, the most there can be. The daemon has more slots for stamps then.
const PID_MAX: &str = "4194304";

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let _pid_max = Setting::change("kernel/pid_max", PID_MAX)?;
    LIMITS.iter().map(|(processes, limit)| Ok(with(setup, *processes)?.at_most(*limit))).collect()
}

fn with(setup: &Setup, processes: usize) -> Result<Figure> {
    let daemon = Daemon::start(&setup.daemon, &[])?;
    let more = processes.saturating_sub(machine::processes()?) as u32;
    // The daemon is there first, so it has seen each of them run.
    let crowd = Crowd { processes: more, threads: 1, woken: WOKEN }.start()?;
    let present = machine::processes()?;
    let mut samples = Vec::new();
    for _ in 0..setup.rounds {
        pause(Duration::from_secs(2))?;
        samples.push(daemon.memory()? / f64::from(1 << 20));
    }
    daemon.stop()?;
    crowd.stop()?;
    println!("{present} processes: {samples:.1?} MiB");
    let what = format!("Memory with the kernel's maps, {processes} processes");
    let command = format!(
        "`monitor run`: VmRSS and `monitor_agent_map_size_bytes`, with pid_max at {PID_MAX}"
    );
    Ok(Figure::new(what, median(samples), Unit::Mebibytes, command))
}
