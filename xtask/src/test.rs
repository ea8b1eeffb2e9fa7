//! Tests: side by side those that measure nothing, then as root, strictly alone, those that measure the
//! running kernel. The long set is apart: soaks, outages and virtual machines.

mod long;

use std::process::Command;

use anyhow::Result;

use crate::{build, command, privilege, setup, side_by_side::side_by_side, workspace::Profile};

/// The package of the tests that need root, and of those of the Collector.
const TESTS: &str = "monitor-tests";
/// The module of tests of the Collector, which need no root and measure nothing.
const COLLECTOR: &str = "collector::";
/// The module of soaks and outages.
const LONG: &str = "long::";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the tests that need root or the Collector
    #[arg(long)]
    no_privileged: bool,
    /// Run the long set instead: soaks and outages, which take half an hour, then every kernel and the
    /// realistic host in virtual machines
    #[arg(long, conflicts_with = "no_privileged")]
    long: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.no_privileged {
        setup::unit_test_tools()?;
        build::daemon(Profile::Dev)?;
        println!("left out as asked: the tests of {TESTS}, which need root or the Collector");
        return command::run(&mut unit());
    }
    // What would stop a later set is better known before the first.
    prepare()?;
    build::daemon(Profile::Dev)?;
    if args.long {
        return long::run();
    }
    side_by_side(vec![("unit tests", unit()), ("collector tests", collector())])?;
    kernel()
}

/// Finds or installs what all sets need.
pub(crate) fn prepare() -> Result<()> {
    privilege::require("measuring the running kernel")?;
    setup::test_tools()?;
    setup::backends().map(drop)
}

/// Everything in the workspace that runs on the host and needs no root.
pub(crate) fn unit() -> Command {
    let mut cargo = command::cargo("test");
    cargo.args(["--workspace", "--exclude", "monitor-ebpf", "--exclude", TESTS]);
    cargo.args(["--", "--skip", LONG]);
    cargo
}

/// The Collector and the stores behind it, with data that the tests make. One at a time: each starts all of
/// them.
pub(crate) fn collector() -> Command {
    let mut cargo = command::cargo("test");
    cargo.args(["--package", TESTS, "--test", "pipeline", "--", "--test-threads=1", COLLECTOR]);
    cargo
}

/// What measures the running kernel: one at a time, and nothing beside it.
pub(crate) fn kernel() -> Result<()> {
    let mut cargo = as_root();
    command::run(cargo.args(["--", "--test-threads=1", "--skip", COLLECTOR, "--skip", LONG]))
}

/// Tests that run as root.
fn as_root() -> Command {
    let mut cargo = command::cargo("test");
    cargo.args(["--package", TESTS]);
    if !privilege::is_root() {
        // Cargo builds as the user and only starts the tests through it.
        cargo.args(["--config", "target.'cfg(unix)'.runner = 'sudo'"]);
    }
    cargo
}
