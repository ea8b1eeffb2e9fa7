//! Runs the daemon on kernels that are not this machine's: each in a virtual machine of its own, with
//! a small workload beside it. What the daemon says is compared with what that kernel says.
//!
//! The machines have empty disks and no network. Their processors are emulated, so that none of this
//! depends on what the hardware below offers.

pub(crate) mod checks;
pub(crate) mod exposition;
mod facts;
mod initramfs;
mod machine;
pub(crate) mod package;
pub(crate) mod transcript;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};

use self::{checks::Check, initramfs::Initramfs, machine::Machine, package::Kernel};
use crate::{
    arch::Arch,
    build, command,
    setup::{self, suite::Suites},
    workspace,
};

/// Process 1 of the machines.
const INIT: &str = include_str!("vm/init.sh");

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Series of kernels, each with the newest of Debian's packages; `6.12-rt` is one with PREEMPT_RT,
    /// `6.12-lockdown` one that keeps its memory confidential
    /// [default: all that are supported]
    #[arg(long = "kernel", value_name = "SERIES", num_args = 1..)]
    kernels: Vec<String>,
    /// Architecture of the machines
    #[arg(long, default_value = "amd64")]
    arch: Arch,
    /// Seconds that one machine may take
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT_S)]
    timeout: u64,
}

const TIMEOUT_S: u64 = 1500;

impl Args {
    /// Every kernel of an architecture that is supported, and those that are known to be limited.
    pub(crate) fn all(arch: Arch) -> Self {
        let limited = match arch {
            Arch::Amd64 => &LIMITED[..],
            Arch::Arm64 => &[],
        };
        let limited = limited.iter().map(|limits| limits.series);
        let kernels = series(arch).iter().copied().chain(limited).map(str::to_owned).collect();
        Self { kernels, arch, timeout: TIMEOUT_S }
    }
}

/// The series that a change is tried on.
fn series(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::Amd64 => &["6.1", "6.12", "6.18", "7.0", "7.2", "7.3"],
        Arch::Arm64 => &["6.12", "7.3"],
    }
}

/// A kernel that lacks what probes need, with the exit code of `monitor check`, how many lines it may
/// print and what they are to say.
struct Limits {
    series: &'static str,
    code: i32,
    lines: usize,
    says: &'static str,
}

impl Limits {
    const fn new(series: &'static str, code: i32, lines: usize, says: &'static str) -> Self {
        Self { series, code, lines, says }
    }
}

/// The ones that are known. What works elsewhere is not tried there.
const LIMITED: [Limits; 4] = [
    Limits::new("5.10", 1, 1, "does not support task storage for BPF programs"),
    Limits::new("6.1-rt", 1, usize::MAX, "sched programs need task storage, which"),
    Limits::new("6.12-rt", 1, usize::MAX, "tcp programs need socket storage, which"),
    Limits::new("6.12-lockdown", 1, usize::MAX, "kernel lockdown (confidentiality)"),
];

pub(crate) fn run(args: &Args) -> Result<()> {
    let emulator = setup::emulator(args.arch)?;
    let mut kernels: Vec<&str> = args.kernels.iter().map(String::as_str).collect();
    if kernels.is_empty() {
        kernels.extend(series(args.arch));
    }
    let mut suites = Suites::new(args.arch);
    let kernels = kernels
        .into_iter()
        .map(|series| Ok((series, package::kernel(&mut suites, series, args.arch)?)))
        .collect::<Result<Vec<_>>>()?;
    let system = system(args.arch, &mut suites)?;
    let mut rows = Vec::new();
    for (series, kernel) in kernels {
        let limits = LIMITED.iter().find(|limits| limits.series == series);
        println!("\n==> {}", kernel.name);
        let initramfs = [&*system, &modules(&kernel)?].concat();
        let machine = Machine {
            arch: args.arch,
            emulator: &emulator,
            kernel: &kernel.image,
            initramfs: &initramfs,
            arguments: match limits {
                Some(_) if series.ends_with("-lockdown") => {
                    "monitor.limited lockdown=confidentiality"
                }
                Some(_) => "monitor.limited",
                None => "",
            },
            folder: folder().join(&kernel.name),
        };
        let result = machine.run(Duration::from_secs(args.timeout)).and_then(|transcript| {
            let checks = match limits {
                Some(limits) => checks::limited(&transcript, limits)?,
                None => checks::all(&transcript)?,
            };
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
fn system(arch: Arch, suites: &mut Suites) -> Result<Vec<u8>> {
    let mut initramfs = Initramfs::default();
    for folder in ["bin", "dev", "proc", "sys", "tmp"] {
        initramfs.folder(folder);
    }
    initramfs.console("dev/console");
    initramfs.program("bin/busybox", &read(package::busybox(suites)?)?);
    let programs = programs(arch)?;
    initramfs.program("bin/monitor", &read(programs.join("monitor"))?);
    initramfs.program("bin/workload", &read(programs.join("monitor-workload"))?);
    initramfs.program("init", INIT.as_bytes());
    Ok(initramfs.finish())
}

/// A kernel's modules as a second archive, by the order of loading.
fn modules(kernel: &Kernel) -> Result<Vec<u8>> {
    let mut initramfs = Initramfs::default();
    initramfs.folder("modules");
    for (n, module) in kernel.modules.iter().enumerate() {
        let name = module.file_name().context("a module has no name")?.to_string_lossy();
        initramfs.program(&format!("modules/{n:02}-{name}"), &read(module.clone())?);
    }
    Ok(initramfs.finish())
}

fn read(path: PathBuf) -> Result<Vec<u8>> {
    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where the daemon and the workloads are, each in one file: the machines have no libraries.
pub(crate) fn programs(arch: Arch) -> Result<PathBuf> {
    build::bpf_objects(&setup::toolchain()?)?;
    println!("building the daemon and workloads for virtual machines");
    let mut cargo = setup::cargo_for(arch)?;
    cargo
        // Naming the target keeps this from build scripts and macros, which cannot be static.
        .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static")
        .args(["--package", "monitor", "--package", "monitor-tests", "--bins"])
        .args(["--profile", "vm", "--target-dir"])
        .arg(folder());
    command::run(&mut cargo)?;
    Ok(folder().join(arch.target()).join("vm"))
}

/// Prints what came of checks.
pub(crate) fn report(checks: &[Check]) {
    for check in checks {
        match &check.result {
            Ok(found) => println!("ok      {:<32}{found}", check.name),
            Err(wrong) => println!("FAILED  {:<32}{wrong}", check.name),
        }
    }
}

/// How many checks a machine passed, or what it did not.
pub(crate) fn verdict(result: &Result<Vec<Check>>) -> Result<usize, String> {
    let checks = result.as_ref().map_err(|error| format!("{error:#}"))?;
    let failed: Vec<_> =
        checks.iter().filter(|check| check.result.is_err()).map(|check| &*check.name).collect();
    if failed.is_empty() { Ok(checks.len()) } else { Err(failed.join(", ")) }
}

/// One line for each kernel; fails when one of them did.
pub(crate) fn summary(rows: &[(String, Result<usize, String>)]) -> Result<()> {
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
