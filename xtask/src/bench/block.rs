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

const LIMIT: f64 = 0.45;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let disk = Disk::new()?;
    let names = ["monitor", "biolatency"];
    let [monitor, biolatency] = interleave(setup.rounds, (names, "ns a request"), |variant| {
        let _statistics = Statistics::enable()?;
        if variant == 0 {
            let daemon = Daemon::start(&setup.daemon, &[])?;
            let time = time_per_request(daemon.pid(), &disk)?;
            daemon.stop()?;
            return Ok(time);
        }
        let mut service = Service::start("biolatency", &mut Command::new("biolatency"))?;
        service.wait_until(LOAD, |service| bpf::links(service.pid()) >= HOOKS)?;
        service::pause(Duration::from_millis(200))?;
        let time = time_per_request(service.pid(), &disk)?;
        service.stop()?;
        Ok(time)
    })?;
    let what = "Time in programs per block request, monitor / biolatency";
    let command = format!("BPF statistics during `{}` on a loop device over tmpfs", FIO.join(" "));
    Ok(vec![Figure::new(what, ratio(&monitor, &biolatency), Unit::Ratio, command).at_most(LIMIT)])
}

/// Time in a process's programs for block devices, all together, for each request that ended.
fn time_per_request(pid: u32, disk: &Disk) -> Result<f64> {
    let before = bpf::programs(pid)?;
    let [program, rest @ ..] = FIO;
    let mut fio = Command::new(program);
    fio.args(rest).arg(format!("--filename={}", disk.device));
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
