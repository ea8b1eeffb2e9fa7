//! Runs the daemon on a realistic host: Debian with systemd, cgroup v2 alone, Docker, partitions and LVM, in a
//! virtual machine. What the daemon exports is compared with the counters of the kernel, systemd and Docker.

mod checks;
mod guest;
mod image;

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, Result};

use self::guest::Guest;
use crate::{
    arch::Arch,
    setup::{self, suite::Suites},
    vm::{self, package},
    workspace,
};

/// What the packages of the system are for.
const ARCH: Arch = Arch::Amd64;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Series of kernels to run on, each with the newest of the distribution's packages
    #[arg(long = "kernel", value_name = "SERIES", num_args = 1.., default_values = SERIES)]
    kernels: Vec<String>,
    /// Seconds at rest in which nothing may be lost
    #[arg(long, value_name = "SECONDS", default_value_t = REST_S)]
    rest: u64,
    /// Seconds that the machine may take to boot, and for each check
    #[arg(long, value_name = "SECONDS", default_value_t = TIMEOUT_S)]
    timeout: u64,
}

const SERIES: [&str; 2] = ["6.1", "6.12"];
const REST_S: u64 = 30;
const TIMEOUT_S: u64 = 300;

impl Default for Args {
    fn default() -> Self {
        Self { kernels: SERIES.map(str::to_owned).into(), rest: REST_S, timeout: TIMEOUT_S }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let emulator = setup::emulator(ARCH)?;
    let mut suites = Suites::new(ARCH);
    let kernels = args.kernels.iter().map(|series| package::kernel(&mut suites, series, ARCH));
    let kernels = kernels.collect::<Result<Vec<_>>>()?;
    let disks = kernels.iter().map(image::disk).collect::<Result<Vec<_>>>()?;
    let payload = image::payload(&vm::programs(ARCH)?)?;
    let mut rows = Vec::new();
    for (kernel, disk) in kernels.into_iter().zip(disks) {
        println!("\n==> {}", kernel.name);
        let folder = folder().join(&kernel.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let timeout = Duration::from_secs(args.timeout);
        let files =
            guest::Files { emulator: &emulator, kernel: &kernel.image, disk, payload: &payload };
        let result = Guest::boot(&files, &folder, timeout)
            .and_then(|mut guest| checks::all(&mut guest, args.rest));
        rows.push((kernel.name, vm::verdict(&result)));
    }
    vm::summary(&rows)
}

/// Where everything is that is made for one run.
fn folder() -> PathBuf {
    workspace::root().join("target/host")
}
