//! Runs the daemon on kernels that are not this machine's: each in a virtual machine of its own, with
//! a small workload beside it. What the daemon says is compared with what that kernel says.
//!
//! The machines have an empty disk and no network. Their processors are emulated, so that none of this
//! depends on what the hardware below offers.

mod checks;
mod exposition;
mod facts;
mod initramfs;
mod machine;
mod package;
mod transcript;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};

use self::{checks::Check, initramfs::Initramfs, machine::Machine};
use crate::{build, command, setup, workspace};

/// What the packaged kernels run on, and so the daemon for them.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Process 1 of the machines.
const INIT: &str = include_str!("vm/init.sh");

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Series of kernels to run on, each with the newest of the distribution's packages
    #[arg(long = "kernel", value_name = "SERIES", num_args = 1.., default_values = ["6.1", "6.12"])]
    kernels: Vec<String>,
    /// Seconds that one machine may take
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    timeout: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let emulator = setup::emulator()?;
    let kernels =
        args.kernels.iter().map(|series| package::kernel(series)).collect::<Result<Vec<_>>>()?;
    let folder = folder();
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let initramfs = folder.join("initramfs");
    let system = system()?;
    fs::write(&initramfs, system)
        .with_context(|| format!("cannot write {}", initramfs.display()))?;
    let mut rows = Vec::new();
    for kernel in kernels {
        println!("\n==> {}", kernel.name);
        let machine = Machine {
            emulator: &emulator,
            kernel: &kernel.image,
            initramfs: &initramfs,
            folder: folder.join(&kernel.name),
        };
        let result = machine.run(Duration::from_secs(args.timeout)).and_then(|transcript| {
            let checks = checks::all(&transcript)?;
            report(&checks);
            Ok(checks)
        });
        let verdict = verdict(&result);
        if verdict.is_err() {
            println!("{}", machine.last_words());
        }
        rows.push((kernel.name, verdict));
    }
    summary(&rows)
}

/// Where everything is that is made here.
fn folder() -> PathBuf {
    workspace::root().join("target/vm")
}

/// The file system of the machines: the daemon, the tests' workloads, a shell with its tools, and what
/// they do.
fn system() -> Result<Vec<u8>> {
    let read =
        |path: PathBuf| fs::read(&path).with_context(|| format!("cannot read {}", path.display()));
    let mut initramfs = Initramfs::default();
    for folder in ["bin", "dev", "proc", "sys", "tmp"] {
        initramfs.folder(folder);
    }
    initramfs.console("dev/console");
    initramfs.program("bin/busybox", &read(package::busybox()?)?);
    let programs = programs()?;
    initramfs.program("bin/monitor", &read(programs.join("monitor"))?);
    initramfs.program("bin/workload", &read(programs.join("monitor-workload"))?);
    initramfs.program("init", INIT.as_bytes());
    Ok(initramfs.finish())
}

/// Where the daemon and the workloads are, each in one file: the machines have no libraries.
fn programs() -> Result<PathBuf> {
    build::bpf_objects(&setup::toolchain()?)?;
    println!("building the daemon and workloads for virtual machines");
    let mut cargo = command::cargo("build");
    cargo
        // Naming the target keeps this from build scripts and macros, which cannot be static.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args(["--package", "monitor", "--package", "monitor-tests", "--bins"])
        .args(["--release", "--target", TARGET, "--target-dir"])
        .arg(folder());
    command::run(&mut cargo)?;
    Ok(folder().join(TARGET).join("release"))
}

fn report(checks: &[Check]) {
    for check in checks {
        match &check.result {
            Ok(found) => println!("ok      {:<28}{found}", check.name),
            Err(wrong) => println!("FAILED  {:<28}{wrong}", check.name),
        }
    }
}

/// How many checks a machine passed, or what it did not.
fn verdict(result: &Result<Vec<Check>>) -> Result<usize, String> {
    let checks = result.as_ref().map_err(|error| format!("{error:#}"))?;
    let failed: Vec<_> =
        checks.iter().filter(|check| check.result.is_err()).map(|check| &*check.name).collect();
    if failed.is_empty() { Ok(checks.len()) } else { Err(failed.join(", ")) }
}

/// One line for each kernel; fails when one of them did.
fn summary(rows: &[(String, Result<usize, String>)]) -> Result<()> {
    println!();
    let width = rows.iter().map(|(kernel, _)| kernel.len()).max().unwrap_or(0);
    for (kernel, verdict) in rows {
        match verdict {
            Ok(checks) => println!("{kernel:width$}  ok      {checks} checks"),
            Err(failed) => println!("{kernel:width$}  FAILED  {failed}"),
        }
    }
    if rows.iter().any(|(_, verdict)| verdict.is_err()) {
        bail!("monitor does not work as it should on every kernel; see above");
    }
    Ok(())
}
