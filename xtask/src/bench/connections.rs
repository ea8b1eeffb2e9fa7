//! What many idle connections cost: CPU time of the daemon, and how late a timer is meanwhile.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{
    Setup, clock,
    daemon::Daemon,
    report::{Figure, Unit},
    rounds::{interleave, median},
    service::{Service, pause},
    timer,
};

/// What this program starts itself as, so that the sockets are of a process of their own.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Connections {
    /// How many to open; both ends of each are here
    #[arg(long)]
    count: usize,
}

/// How many processes hold connections, each as many: a process may have 10,240 files almost everywhere.
const PROCESSES: usize = 10;
const PER_PROCESS: usize = 5000;
const COUNT: usize = PROCESSES * PER_PROCESS;
/// How long it may take to open all, on a busy machine.
const START: Duration = Duration::from_secs(120);
/// For ever, compared with a benchmark.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);
/// Several ticks, of a second each.
const WINDOW: Duration = Duration::from_secs(10);
const READY: &str = "ready";

/// In percent of a CPU, and in milliseconds.
const LIMIT_CPU: f64 = 0.1;
const LIMIT_DELAY: f64 = 5.0;

/// What is there in each variant.
const DAEMON: [bool; 4] = [false, false, true, true];
const CONNECTED: [bool; 4] = [false, true, false, true];

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let mut cpu = [const { Vec::new() }; 4];
    let names = ["neither", "connections", "daemon", "both"];
    let delays = interleave(setup.rounds, (names, "ms late"), |variant| {
        let processes = if CONNECTED[variant] { PROCESSES } else { 0 };
        let connections: Vec<_> = (0..processes).map(|_| start()).collect::<Result<_>>()?;
        let daemon =
            DAEMON[variant].then(|| Daemon::start_probe(&setup.daemon, "net")).transpose()?;
        let used = || daemon.as_ref().map_or(Ok(Duration::ZERO), |it| clock::cpu_time(it.pid()));
        let (begin, before) = (Instant::now(), used()?);
        let late = timer::latest(WINDOW)?;
        let percent = 100.0 * (used()? - before).as_secs_f64() / begin.elapsed().as_secs_f64();
        cpu[variant].push(percent);
        daemon.map_or(Ok(()), Daemon::stop)?;
        connections.into_iter().try_for_each(Service::stop)?;
        Ok(late.as_secs_f64() * 1e3)
    })?;
    println!("CPU by variant: {cpu:.3?} %");
    let [.., daemon, both] = cpu;
    let more = |values: &[f64], reference: &[f64]| {
        median(values.iter().zip(reference).map(|(value, reference)| value - reference).collect())
    };
    let command =
        format!("`monitor run` with the `net` probe alone, {COUNT} connections on loopback");
    let what = |what: &str| format!("{what} for {COUNT} idle connections");
    let cpu = Figure::new(what("CPU"), more(&both, &daemon), Unit::Percent, &command);
    let [_, connections, _, both] = delays;
    let late = more(&both, &connections);
    let late = Figure::new(what("Timer delay"), late, Unit::Milliseconds, command);
    Ok(vec![cpu.at_most(LIMIT_CPU), late.at_most(LIMIT_DELAY)])
}

fn start() -> Result<Service> {
    // Not by its path, where another build may have put another program by now.
    let mut command = Command::new("/proc/self/exe");
    command.args(["bench", "connections", "--count", &PER_PROCESS.to_string()]);
    let mut service = Service::start("connections", &mut command)?;
    service.wait_until(START, |service| service.said().contains(READY))?;
    Ok(service)
}

/// Opens connections and keeps them until asked to end.
pub(super) fn hold(connections: Connections) -> Result<()> {
    timer::allow_files()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let address = listener.local_addr()?;
    let mut open = Vec::new();
    for _ in 0..connections.count {
        let stream = TcpStream::connect(address).context("cannot connect")?;
        open.extend([stream, listener.accept().context("cannot accept")?.0]);
    }
    println!("{READY}");
    pause(FOREVER)
}
