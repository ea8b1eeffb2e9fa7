//! Measures what the daemon costs, against the limits it has to keep, and writes what came of it into
//! `docs/benchmarks.md`.
//!
//! Nothing is compared across runs: whatever is compared takes turns within one, and the median over
//! the turns counts. Everything that is started here ends with this program, whatever ends it.

mod audit;
mod block;
mod bpf;
mod clock;
mod connections;
mod crowd;
mod daemon;
mod export;
mod exporter;
mod idle;
mod load;
mod machine;
mod memory;
mod pass;
mod pingpong;
mod programs;
mod report;
mod rounds;
mod scrape;
mod service;
mod sysctl;
mod tcp;
mod timer;
mod web;

use std::{
    env,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use self::report::{Figure, Report};
use crate::{
    build, command, privilege,
    run::signals,
    setup,
    workspace::{self, Profile},
};

/// Fewer rounds than this say little, and are not written down.
const MIN_ROUNDS: usize = 5;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    helper: Option<Helper>,
    /// Measure only this, and write nothing; can be given several times
    #[arg(long, value_name = "NAME")]
    only: Vec<Benchmark>,
    /// How often to measure; documented with 5 or more
    #[arg(long, value_name = "N", default_value_t = MIN_ROUNDS)]
    rounds: usize,
    /// Do not build, measure what is there
    #[arg(long)]
    no_build: bool,
}

/// What this program starts itself as.
#[derive(clap::Subcommand)]
enum Helper {
    /// Be many processes
    #[command(hide = true)]
    Crowd(crowd::Crowd),
    /// Make requests by TCP
    #[command(hide = true)]
    RoundTrips(tcp::RoundTrips),
    /// Hold connections open
    #[command(hide = true)]
    Connections(connections::Connections),
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// How much slower two threads become that wake each other
    Pingpong,
    /// Time in the programs that run at a context switch
    Programs,
    /// Time in the programs that run for a request to a block device
    Block,
    /// One pass over 10,000 threads
    Pass,
    /// Memory, with few processes and with many
    Memory,
    /// CPU time while nobody asks for anything
    Idle,
    /// CPU time of a round of the self-audit
    Audit,
    /// CPU time and size of a scrape
    Scrape,
    /// CPU time and size of an export by OTLP
    Export,
    /// How much slower requests by TCP become
    Tcp,
    /// A web server and its load on one CPU
    Web,
    /// 10,000 processes, and connections that come and go
    Load,
    /// 50,000 connections on which nothing happens
    Connections,
}

/// What every benchmark needs to know.
struct Setup {
    rounds: usize,
    /// The daemon.
    daemon: PathBuf,
    /// `monitor/examples/bench`.
    helper: PathBuf,
    /// Where the empty programs are.
    empty: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.helper {
        Some(Helper::Crowd(crowd)) => return crowd::run(crowd),
        Some(Helper::RoundTrips(requests)) => return tcp::make(requests),
        Some(Helper::Connections(connections)) => return connections::hold(*connections),
        None => {}
    }
    const PURPOSE: &str = "measuring the kernel's part";
    privilege::require(PURPOSE)?;
    if !args.no_build {
        prepare()?;
    }
    if !privilege::is_root() {
        let this = env::current_exe().context("cannot tell where this program is")?;
        let mut again = privilege::as_root(this, PURPOSE)?;
        again.args(["bench", "--no-build", "--rounds", &args.rounds.to_string()]);
        for only in &args.only {
            again.args(["--only", &only.name()]);
        }
        return Err(again.exec()).context("cannot start sudo");
    }
    measure(args)
}

/// Builds and installs all that measuring takes.
fn prepare() -> Result<()> {
    setup::test_tools()?;
    setup::bench_tools()?;
    build::daemon(Profile::Release)?;
    command::run(command::cargo("build").args([
        "--release",
        "--package",
        "monitor",
        "--example",
        "bench",
    ]))
}

fn measure(args: &Args) -> Result<()> {
    signals::catch();
    bpf::require_statistics_off()?;
    let daemon = workspace::daemon(Profile::Release)?;
    let setup = Setup {
        rounds: args.rounds.max(1),
        helper: daemon.parent().unwrap_or(Path::new("/")).join("examples/bench"),
        empty: workspace::bpf_objects().join("empty.o"),
        daemon,
    };
    let mut report = Report::default();
    for benchmark in Benchmark::value_variants() {
        if args.only.is_empty() || args.only.contains(benchmark) {
            let name = benchmark.name();
            println!("\n==> {name}");
            report.add(benchmark.run(&setup).with_context(|| format!("{name} failed"))?);
        }
    }
    print!("\n{report}");
    if args.only.is_empty() && args.rounds >= MIN_ROUNDS {
        report.write(args.rounds)?;
    } else {
        println!("not written down: that takes all benchmarks and {MIN_ROUNDS} rounds");
    }
    match report.missed() {
        0 => Ok(()),
        missed => bail!("{missed} limits are missed"),
    }
}

impl Benchmark {
    /// As it is given on the command line.
    fn name(self) -> String {
        let value = self.to_possible_value().expect("none is hidden");
        value.get_name().to_owned()
    }

    fn run(self, setup: &Setup) -> Result<Vec<Figure>> {
        match self {
            Self::Pingpong => pingpong::run(setup),
            Self::Programs => programs::run(setup),
            Self::Block => block::run(setup),
            Self::Pass => pass::run(setup),
            Self::Memory => memory::run(setup),
            Self::Idle => idle::run(setup),
            Self::Audit => audit::run(setup),
            Self::Scrape => scrape::run(setup),
            Self::Export => export::run(setup),
            Self::Tcp => tcp::run(setup),
            Self::Web => web::run(setup),
            Self::Load => load::run(setup),
            Self::Connections => connections::run(setup),
        }
    }
}
