//! The long set: what takes too long for every change. Whatever else belongs to it is one more step.

use std::time::Instant;

use anyhow::{Context, Result};

use super::{LONG, as_root};
use crate::{arch::Arch, command, host, vm};

/// A step has a name and what it does.
type Step = (&'static str, fn() -> Result<()>);

/// One after the other: each needs the machine for itself.
const STEPS: [Step; 4] = [
    ("soaks and outages", soaks),
    ("kernels", || vm::run(&vm::Args::all(Arch::Amd64))),
    ("kernels on arm64", || vm::run(&vm::Args::all(Arch::Arm64))),
    ("realistic host", || host::run(&host::Args::default())),
];

pub(super) fn run() -> Result<()> {
    for (name, step) in STEPS {
        println!("\n==> {name}");
        let start = Instant::now();
        step().with_context(|| format!("{name} failed"))?;
        println!("{name}: {:.1} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

/// The tests in modules called `long`.
fn soaks() -> Result<()> {
    let mut unprivileged = command::cargo("test");
    unprivileged.args(["--package", "monitor", "--test", "otlp", "--", LONG]);
    command::run(&mut unprivileged)?;
    let mut cargo = as_root();
    cargo.args(["--test", "daemon", "--test", "pipeline"]);
    command::run(cargo.args(["--", "--test-threads=1", LONG]))
}
