//! A large host: many processes, and many connections that come and go.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use monitor_backends::http;

use super::{
    Setup, clock,
    crowd::Crowd,
    daemon::Daemon,
    report::{Figure, Unit},
    rounds::median,
};

/// As many processes, of which some run in a second.
const CROWD: Crowd = Crowd { processes: 10_000, threads: 1, woken: 200 };
/// Connections in each round.
const CONNECTIONS: usize = 50_000;
/// From one address to another there are about 28,000 connections in a minute at most: there are as
/// many ports, and a closed connection keeps its own for a while.
const SERVERS: u8 = 16;
/// One connection in this time, so that a round is a load over ten seconds and no burst.
const PACE: Duration = Duration::from_micros(200);

/// What docs/principles.md promises.
const LIMIT_MIB: f64 = 128.0;
const LIMIT_PERCENT: f64 = 5.0;
const LIMIT_MS: f64 = 1000.0;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let daemon = Daemon::start(&setup.daemon, &[])?;
    let crowd = CROWD.start()?;
    let servers = (1..=SERVERS).map(serve).collect::<Result<Vec<_>>>()?;
    let [mut memory, mut cpu, mut scrape] = [const { Vec::new() }; 3];
    for round in 0..setup.rounds {
        let (begin, before) = (Instant::now(), clock::cpu_time(daemon.pid())?);
        connect(&servers)?;
        let used = clock::cpu_time(daemon.pid())? - before;
        cpu.push(100.0 * used.as_secs_f64() / begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        http::get(daemon.address(), "/metrics")?;
        scrape.push(begin.elapsed().as_secs_f64() * 1e3);
        memory.push(daemon.memory()? / f64::from(1 << 20));
        println!(
            "round {}: {:.1} MiB, {:.2} % of a CPU, {:.1} ms",
            round + 1,
            memory[round],
            cpu[round],
            scrape[round]
        );
    }
    daemon.stop()?;
    crowd.stop()?;
    let what = format!("with {} processes and {CONNECTIONS} connections a round", CROWD.processes);
    let command = "`monitor run`, every connection opened and closed on loopback";
    let figure = |name: &str, values, unit| {
        Figure::new(format!("{name} {what}"), median(values), unit, command)
    };
    Ok(vec![
        figure("Memory with the kernel's maps", memory, Unit::Mebibytes).at_most(LIMIT_MIB),
        figure("CPU", cpu, Unit::Percent).at_most(LIMIT_PERCENT),
        figure("Time for `GET /metrics`", scrape, Unit::Milliseconds).at_most(LIMIT_MS),
    ])
}

/// Accepts connections on an address of its own, and closes each when the other side has.
fn serve(number: u8) -> Result<SocketAddr> {
    let address = Ipv4Addr::new(127, 0, 1, number);
    let listener =
        TcpListener::bind((address, 0)).with_context(|| format!("cannot listen on {address}"))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.and_then(|mut stream| stream.read(&mut [0]));
        }
    });
    Ok(address)
}

/// Opens and closes all connections, one after the other.
fn connect(servers: &[SocketAddr]) -> Result<()> {
    let mut due = Instant::now();
    for address in servers.iter().cycle().take(CONNECTIONS) {
        drop(TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?);
        due += PACE;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok(())
}
