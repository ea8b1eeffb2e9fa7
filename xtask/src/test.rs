//! Tests: first those that need nothing, then as root those that measure the running kernel.

use anyhow::Result;

use crate::{build, command, privilege, setup, workspace::Profile};

/// The package of the tests that need root.
const PRIVILEGED: &str = "monitor-tests";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Leave out the tests that need root
    #[arg(long)]
    pub(crate) no_privileged: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    // What would stop the second half is better known before the first.
    if args.no_privileged {
        setup::unit_test_tools()?;
    } else {
        privilege::require("measuring the running kernel")?;
        setup::test_tools()?;
        setup::backends()?;
    }
    build::daemon(Profile::Dev)?;
    unit()?;
    if args.no_privileged {
        println!("left out as asked: the tests of {PRIVILEGED}, which need root");
        return Ok(());
    }
    privileged()
}

/// Everything in the workspace that runs on the host and needs no root.
fn unit() -> Result<()> {
    let mut cargo = command::cargo("test");
    cargo.args(["--workspace", "--exclude", "monitor-ebpf", "--exclude", PRIVILEGED]);
    command::run(&mut cargo)
}

/// One at a time: they load the machine and measure it.
fn privileged() -> Result<()> {
    let mut cargo = command::cargo("test");
    cargo.args(["--package", PRIVILEGED]);
    if !privilege::is_root() {
        // Cargo builds as the user and only starts the tests through it.
        cargo.args(["--config", "target.'cfg(unix)'.runner = 'sudo'"]);
    }
    command::run(cargo.args(["--", "--test-threads=1"]))
}
