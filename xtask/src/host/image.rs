//! The disks of the machine: the system, which is kept outside the repository, and the programs under test.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{folder, guest::CHANNEL};
use crate::{command, privilege, setup, vm::package::Kernel, workspace};

/// The release, and where it comes from.
const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
/// What it has beside the smallest system that is possible.
const PACKAGES: [&str; 17] = [
    "systemd",
    "systemd-sysv",
    "dbus",
    "udev",
    "kmod",
    "docker.io",
    "containerd",
    "stress-ng",
    "fio",
    "lvm2",
    "cryptsetup-bin",
    "fdisk",
    "e2fsprogs",
    "iproute2",
    "busybox-static",
    "procps",
    "tar",
];
/// Services that would work while nothing is to happen.
const MASKED: [&str; 6] = [
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "systemd-networkd-wait-online.service",
];
/// Docker without a network: the machine has none, and its kernel no firewall.
const DOCKER: &str = "{\"iptables\": false, \"ip-masq\": false, \"bridge\": \"none\"}\n";
/// What carries out what is sent to the machine.
const RUNNER: &str = include_str!("channel.sh");
const RUNNER_UNIT: &str = "[Unit]\nDescription=Command channel\nStartLimitIntervalSec=0\n\n\
                           [Service]\nExecStart=/usr/local/sbin/channel\nRestart=always\nRestartSec=1\n\n\
                           [Install]\nWantedBy=multi-user.target\n";

/// Room on the disk, and where its one partition starts.
const DISK_MIB: u64 = 4096;
const START_MIB: u64 = 1;
/// The partition's id, by which the kernel finds it.
pub(super) const PARTITION: &str = "6d6f6e69-746f-7200-0000-000000000001";

const PURPOSE: &str = "making the disk of the virtual machine";

/// The disk with the system for a kernel.
pub(super) fn disk(kernel: &Kernel) -> Result<PathBuf> {
    let way = (SUITE, PACKAGES, MASKED, DOCKER, RUNNER, RUNNER_UNIT, DISK_MIB, PARTITION);
    let folder = workspace::cache_of(&format!("host-{}", kernel.name), way, &[])?;
    let disk = folder.join("disk");
    if disk.exists() {
        return Ok(disk);
    }
    setup::host_tools()?;
    let system = system()?;
    println!("making a disk for {}", kernel.name);
    add_modules(kernel, &system)?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Under another name until it is complete.
    let partial = disk.with_added_extension("partial");
    File::create(&partial)
        .and_then(|file| file.set_len(DISK_MIB << 20))
        .with_context(|| format!("cannot make {}", partial.display()))?;
    partition(&partial)?;
    let size = format!("{}m", DISK_MIB - 2 * START_MIB);
    command::run(
        privilege::as_root("mke2fs", PURPOSE)?
            .args(["-q", "-F", "-t", "ext4", "-E"])
            .arg(format!("offset={}", START_MIB << 20))
            .arg("-d")
            .args([&system, &partial])
            .arg(size),
    )?;
    fs::rename(&partial, &disk).with_context(|| format!("cannot finish {}", disk.display()))?;
    Ok(disk)
}

/// The folder with the system, made of packages.
fn system() -> Result<PathBuf> {
    let way = (SUITE, PACKAGES, MASKED, DOCKER, RUNNER, RUNNER_UNIT);
    let folder = workspace::cache_of("host-system", way, &[])?;
    if folder.exists() {
        return Ok(folder);
    }
    println!("making a system of {} packages of {SUITE} and what they need", PACKAGES.len());
    let partial = folder.with_added_extension("partial");
    if partial.exists() {
        command::run(privilege::as_root("rm", PURPOSE)?.arg("-rf").arg(&partial))?;
    }
    command::run(
        privilege::as_root("debootstrap", PURPOSE)?
            .arg("--variant=minbase")
            .arg(format!("--include={}", PACKAGES.join(",")))
            .arg(SUITE)
            .arg(&partial)
            .arg(MIRROR),
    )?;
    configure(&partial)?;
    command::run(privilege::as_root("mv", PURPOSE)?.args([&partial, &folder]))?;
    Ok(folder)
}

/// Sets a system up: what is needed to boot, Docker, and the channel.
fn configure(system: &Path) -> Result<()> {
    let script = format!(
        "set -e\n\
         echo monitor-host >etc/hostname\n\
         echo 'PARTUUID={PARTITION} / ext4 defaults 0 1' >etc/fstab\n\
         mkdir -p etc/docker\n\
         cat >etc/docker/daemon.json <<'END'\n{DOCKER}END\n\
         cat >usr/local/sbin/channel <<'END'\n{RUNNER}END\n\
         chmod +x usr/local/sbin/channel\n\
         sed -i 's,@CHANNEL@,/dev/virtio-ports/{CHANNEL},' usr/local/sbin/channel\n\
         cat >etc/systemd/system/channel.service <<'END'\n{RUNNER_UNIT}END\n\
         chroot . systemctl -q enable channel.service docker.service\n\
         chroot . systemctl -q mask {}\n\
         rm -rf var/cache/apt/archives/*.deb var/lib/apt/lists/*\n",
        MASKED.join(" ")
    );
    let mut shell = privilege::as_root("sh", PURPOSE)?;
    command::run(shell.arg("-c").arg(script).current_dir(system))
}

/// Copies the kernel's modules into a system.
fn add_modules(kernel: &Kernel, system: &Path) -> Result<()> {
    let into = system.join("usr/lib/modules");
    command::run(privilege::as_root("mkdir", PURPOSE)?.arg("-p").arg(&into))?;
    command::run(
        privilege::as_root("cp", PURPOSE)?
            .arg("-rT")
            .args([&kernel.tree, &into.join(&kernel.name)]),
    )?;
    let mut depmod = privilege::as_root("chroot", PURPOSE)?;
    command::run(depmod.arg(system).args(["depmod", &kernel.name]))
}

/// Makes the one partition.
fn partition(disk: &Path) -> Result<()> {
    let table = format!("label: gpt\nstart={START_MIB}MiB, type=linux, uuid={PARTITION}\n");
    let script = folder().join("partitions");
    fs::create_dir_all(folder())
        .and_then(|()| fs::write(&script, table))
        .with_context(|| format!("cannot write {}", script.display()))?;
    let script = File::open(&script)?;
    command::run(Command::new("sfdisk").arg("-q").arg(disk).stdin(script))
}

/// A disk that is an archive of the programs.
pub(super) fn payload(programs: &Path) -> Result<PathBuf> {
    let payload = folder().join("programs.tar");
    fs::create_dir_all(folder()).with_context(|| format!("cannot make {}", folder().display()))?;
    command::run(
        // The emulator takes whole sectors.
        Command::new("tar")
            .args(["--blocking-factor=2048", "-cf"])
            .arg(&payload)
            .arg("-C")
            .arg(programs)
            .args(["monitor", "monitor-workload"]),
    )?;
    Ok(payload)
}
