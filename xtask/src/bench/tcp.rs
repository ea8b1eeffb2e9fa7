//! Requests and answers over the loopback device, one at a time: each is two messages, two wakeups and
//! two switches on one CPU.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use super::{
    Setup, bpf,
    daemon::Daemon,
    pingpong,
    report::{Figure, Unit},
    rounds::{interleave, ratio, several},
    service::Service,
};

/// What this program starts itself as, so that all of it is on one CPU.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct RoundTrips {
    /// How many requests
    #[arg(long)]
    requests: u32,
}

/// Less than a second, several times.
const REQUESTS: u32 = 30_000;
/// How long it may take, ten times what it does on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// With all probes, compared with empty programs on the same hooks.
const LIMIT: f64 = 1.06;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let names = ["without", "net", "all", "empty programs"];
    let [without, tcp, all, empty] = interleave(setup.rounds, (names, "s"), |variant| {
        bpf::require_statistics_off()?;
        let daemon = match variant {
            1 => Some(Daemon::start_probe(&setup.daemon, "net")?),
            2 => Some(Daemon::start(&setup.daemon, &[])?),
            _ => None,
        };
        let beside = (variant == 3).then(|| pingpong::empty_programs(setup)).transpose()?;
        let seconds = several(play)?;
        daemon.map_or(Ok(()), Daemon::stop)?;
        beside.map_or(Ok(()), Service::stop)?;
        Ok(seconds)
    })?;
    let figure = |what: &str, values: &[f64], (other, reference): (&str, &[f64])| {
        let what = format!("TCP request and answer on one CPU with {what} / {other}");
        let command = format!("{REQUESTS} requests of one byte over one connection on loopback");
        Figure::new(what, ratio(values, reference), Unit::Ratio, command)
    };
    let alone = ("without", &without[..]);
    let programs = ("with empty programs on the same hooks", &empty[..]);
    Ok(vec![
        figure("the `net` probe alone", &tcp, alone),
        figure("all probes", &all, alone),
        figure("all probes", &all, programs).at_most(LIMIT),
        figure("empty programs", &empty, alone),
    ])
}

/// Runs the workload; how many seconds it took.
fn play() -> Result<f64> {
    let mut command = Command::new("taskset");
    // Not by its path, where another build may have put another program by now.
    let this = format!("/proc/{}/exe", process::id());
    command.args(["-c", "1", &this, "bench", "round-trips"]);
    command.args(["--requests", &REQUESTS.to_string()]);
    let said = Service::finish("the requests", &mut command, TIMEOUT)?;
    said.trim().parse().with_context(|| format!("the requests say no time: {said}"))
}

/// Makes requests, and says how many seconds they took.
pub(super) fn make(requests: &RoundTrips) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen")?;
    let address = listener.local_addr()?;
    let server = thread::spawn(move || -> Result<()> {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        let mut byte = [0];
        while stream.read(&mut byte)? == 1 {
            stream.write_all(&byte)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address).context("cannot connect")?;
    stream.set_nodelay(true)?;
    let begin = Instant::now();
    for _ in 0..requests.requests {
        stream.write_all(&[1])?;
        stream.read_exact(&mut [0])?;
    }
    println!("{}", begin.elapsed().as_secs_f64());
    drop(stream);
    server.join().map_err(|_| anyhow!("the server has failed"))?
}
