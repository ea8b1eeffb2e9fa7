//! Documentation that the program writes itself, from the tables it works by.

use std::{fs, process::Command};

use anyhow::{Context, Result, bail};

use crate::{
    build, command,
    workspace::{self, Profile},
};

/// The generated file.
const METRICS: &str = "docs/metrics.md";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when a file is not up to date
    #[arg(long)]
    pub(crate) check: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let daemon = build::daemon(Profile::Dev)?;
    let metrics =
        command::output(Command::new(daemon).args(["metrics", "--format", "markdown"]))? + "\n";
    let path = workspace::root().join(METRICS);
    if fs::read_to_string(&path).is_ok_and(|old| old == metrics) {
        println!("{METRICS} is up to date");
        return Ok(());
    }
    if args.check {
        bail!("{METRICS} is not what the program prints; run `cargo xtask docs` and commit it");
    }
    fs::create_dir_all(path.parent().expect("a file in a folder"))
        .and_then(|()| fs::write(&path, metrics))
        .with_context(|| format!("cannot write {METRICS}"))?;
    println!("wrote {METRICS}");
    Ok(())
}
