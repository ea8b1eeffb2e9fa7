//! Everything that has to pass before a change lands, cheapest first.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use crate::{build, command, docs, setup, test, tidy, workspace::Profile};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also look for known vulnerabilities, whose database is fetched from the network
    #[arg(long)]
    advisories: bool,
}

/// A step has a name and what it does.
type Step<'a> = (&'a str, &'a dyn Fn() -> Result<()>);

pub(crate) fn run(args: &Args) -> Result<()> {
    let steps: [Step; 8] = [
        ("format", &format),
        ("tidy", &tidy::run),
        ("build", &|| build::daemon(Profile::Dev).map(drop)),
        ("clippy", &clippy),
        ("clippy for BPF", &clippy_bpf),
        ("docs", &|| docs::run(&docs::Args { check: true })),
        ("deny", &|| deny(args.advisories)),
        ("test", &|| test::run(&test::Args { no_privileged: false })),
    ];
    let mut times = Vec::new();
    let result = steps.iter().try_for_each(|(name, step)| {
        println!("\n==> {name}");
        let start = Instant::now();
        let result = step().with_context(|| format!("{name} failed"));
        times.push((name, start.elapsed()));
        result
    });
    println!();
    for (name, time) in &times {
        println!("{name:<16}{:>6.1} s", time.as_secs_f64());
    }
    let total: Duration = times.iter().map(|(_, time)| time).sum();
    println!("{:<16}{:>6.1} s", "all", total.as_secs_f64());
    result
}

fn format() -> Result<()> {
    command::run(command::cargo("fmt").args(["--all", "--check"]))
}

fn clippy() -> Result<()> {
    let mut cargo = command::cargo("clippy");
    cargo.args(["--workspace", "--exclude", "monitor-ebpf", "--all-targets"]);
    command::run(cargo.args(["--", "-D", "warnings"]))
}

fn clippy_bpf() -> Result<()> {
    let mut cargo = setup::toolchain()?.cargo("clippy");
    command::run(cargo.args(["--", "-D", "warnings"]))
}

fn deny(advisories: bool) -> Result<()> {
    let mut deny = Command::new(setup::cargo_deny()?);
    deny.current_dir(crate::workspace::root()).args(["check", "bans", "licenses", "sources"]);
    if advisories {
        deny.arg("advisories");
    } else {
        println!("known vulnerabilities are not looked for without --advisories");
    }
    command::run(&mut deny)
}
