//! Time in the programs that run for every request to a block device, as the kernel counts it while fio
//! reads from a loop device over memory.

use std::{fs, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use super::{
    Setup,
    bpf::{self, Program, Statistics},
    daemon::Daemon,
    report::{Figure, Unit},
    rounds::{interleave, ratio},
    service::{self, Service},
};
use crate::command;

/// What is measured, on the device that is put after it.
const FIO: [&str; 9] = [
    "fio",
    "--name=bench",
    "--ioengine=io_uring",
    "--rw=randread",
    "--bs=4k",
    "--iodepth=16",
    "--direct=1",
    "--time_based",
    "--runtime=3",
];
/// How long it may take, ten times what it does.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long loading programs may take.
const LOAD: Duration = Duration::from_secs(30);
/// biolatency's hooks: insertion, issue and completion, of which the first is not used by all.
const HOOKS: usize = 2;
/// Size of the device in bytes.
const SIZE: u64 = 128 << 20;

/// How fio submits requests, and what share of biolatency's time ours may take.
struct Case {
    what: &'static str,
    args: &'static [&'static str],
    limit: f64,
}

const CASES: [Case; 2] = [
    // From Linux 6.9 on every submission has a plug, even of a single request, so that our programs
    // read the clock for each request, as biolatency always does. Before, they need not.
    Case { what: "one by one", args: &["--ioengine=psync"], limit: 0.90 },
    Case {
        what: "in batches",
        args: &["--iodepth_batch_submit=16", "--iodepth_batch_complete_min=16"],
        limit: 0.90,
    },
];

/// What takes turns: the daemon, and biolatency, which counts the time in queues too if asked to.
const NAMES: [&str; 3] = ["monitor", "biolatency", "biolatency -Q"];

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let disk = Disk::new()?;
    let mut figures = Vec::new();
    for case in &CASES {
        println!("{}", case.what);
        let times = interleave(setup.rounds, (NAMES, "ns a request"), |variant| {
            let _statistics = Statistics::enable()?;
            if variant == 0 {
                let daemon = Daemon::start(&setup.daemon, &[])?;
                let time = time_per_request(daemon.pid(), &disk, case.args)?;
                daemon.stop()?;
                return Ok(time);
            }
            let mut words = NAMES[variant].split_whitespace();
            let mut command = Command::new(words.next().unwrap_or_default());
            let mut service = Service::start("biolatency", command.args(words))?;
            service.wait_until(LOAD, |service| bpf::links(service.pid()) >= HOOKS)?;
            service::pause(Duration::from_millis(200))?;
            let time = time_per_request(service.pid(), &disk, case.args)?;
            service.stop()?;
            Ok(time)
        })?;
        let [monitor, others @ ..] = &times;
        let command = format!(
            "BPF statistics during `{} {}` on a loop device over tmpfs",
            FIO.join(" "),
            case.args.join(" ")
        );
        for (name, times) in NAMES[1..].iter().zip(others) {
            let what =
                format!("Time in programs per block request {}, monitor / {name}", case.what);
            let figure = Figure::new(what, ratio(monitor, times), Unit::Ratio, command.clone());
            let is_limited = *name == NAMES[1];
            figures.push(if is_limited { figure.at_most(case.limit) } else { figure });
        }
    }
    Ok(figures)
}

/// Time in a process's programs for block devices, all together, for each request that ended.
fn time_per_request(pid: u32, disk: &Disk, args: &[&str]) -> Result<f64> {
    let before = bpf::programs(pid)?;
    let [program, rest @ ..] = FIO;
    let mut fio = Command::new(program);
    fio.args(rest).args(args).arg(format!("--filename={}", disk.device));
    Service::finish("fio", &mut fio, TIMEOUT)?;
    let (mut time_ns, mut requests) = (0, 0);
    for (id, after) in bpf::programs(pid)? {
        let before: Program = before.get(&id).copied().unwrap_or_default();
        let name = bpf::name(id)?;
        if !name.starts_with("block_") {
            continue;
        }
        time_ns += after.time_ns - before.time_ns;
        if name.starts_with("block_rq_complete") {
            requests += after.runs - before.runs;
        }
    }
    ensure!(requests > 0, "process {pid} has no programs for block devices that ran");
    Ok(time_ns as f64 / requests as f64)
}

/// A loop device over a file in memory; both are gone when this is dropped.
struct Disk {
    folder: PathBuf,
    device: String,
}

impl Disk {
    fn new() -> Result<Self> {
        let folder = PathBuf::from(format!("/dev/shm/monitor-bench-{}", std::process::id()));
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut disk = Self { folder, device: String::new() };
        let image = disk.folder.join("image");
        // Written once, so that what is read is there.
        fs::write(&image, vec![1; SIZE as usize])
            .with_context(|| format!("cannot write {}", image.display()))?;
        let mut losetup = Command::new("losetup");
        let device = command::output(losetup.args(["--find", "--show"]).arg(&image))?;
        disk.device = device.trim().to_owned();
        Ok(disk)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.device.is_empty()
            && let Err(error) =
                command::run(Command::new("losetup").args(["--detach", &self.device]))
        {
            eprintln!("cannot detach {}: {error}", self.device);
        }
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}
