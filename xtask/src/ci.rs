//! Everything that has to pass before a change lands.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{
    build, command, docs, setup,
    side_by_side::side_by_side,
    test, tidy,
    workspace::{self, Profile},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also look for known vulnerabilities, whose database is fetched from the network
    #[arg(long)]
    advisories: bool,
}

/// A step has a name and what it does.
type Step<'a> = (&'a str, &'a dyn Fn() -> Result<()>);

pub(crate) fn run(args: &Args) -> Result<()> {
    let start = Instant::now();
    let mut times = Vec::new();
    let result = steps(args, &mut times);
    println!();
    for (name, time) in &times {
        println!("{name:<16}{:>6.1} s", time.as_secs_f64());
    }
    println!("{:<16}{:>6.1} s", "all", start.elapsed().as_secs_f64());
    result
}

/// First what is cheap or needed by others, then side by side what measures nothing, then what measures
/// the kernel, with the machine for itself.
fn steps(args: &Args, times: &mut Vec<(&str, Duration)>) -> Result<()> {
    one_by_one(
        &[
            ("format", &format),
            ("tidy", &tidy::run),
            ("setup", &|| test::prepare().and_then(|()| setup::cargo_deny().map(drop))),
            ("build", &|| build::daemon(Profile::Dev).map(drop)),
            ("docs", &|| docs::run(&docs::Args { check: true })),
        ],
        times,
    )?;
    times.extend(side_by_side(vec![
        ("clippy", clippy()),
        ("clippy for BPF", clippy_bpf()?),
        ("deny", deny(args.advisories)?),
        ("unit tests", test::unit()),
        ("collector tests", test::collector()),
    ])?);
    one_by_one(&[("kernel tests", &test::kernel)], times)
}

fn one_by_one<'a>(steps: &[Step<'a>], times: &mut Vec<(&'a str, Duration)>) -> Result<()> {
    steps.iter().try_for_each(|(name, step)| {
        println!("\n==> {name}");
        let start = Instant::now();
        let result = step().with_context(|| format!("{name} failed"));
        times.push((name, start.elapsed()));
        result
    })
}

fn format() -> Result<()> {
    command::run(command::cargo("fmt").args(["--all", "--check"]))
}

fn clippy() -> Command {
    let mut cargo = command::cargo("clippy");
    cargo.args(["--workspace", "--exclude", "monitor-ebpf", "--all-targets"]);
    cargo.args(["--", "-D", "warnings"]);
    cargo
}

fn clippy_bpf() -> Result<Command> {
    let mut cargo = setup::toolchain()?.cargo("clippy");
    cargo.args(["--", "-D", "warnings"]);
    Ok(cargo)
}

fn deny(advisories: bool) -> Result<Command> {
    let mut deny = Command::new(setup::cargo_deny()?);
    deny.current_dir(workspace::root()).args(["check", "bans", "licenses", "sources"]);
    if advisories {
        deny.arg("advisories");
    } else {
        println!("known vulnerabilities are not looked for without --advisories");
    }
    Ok(deny)
}
