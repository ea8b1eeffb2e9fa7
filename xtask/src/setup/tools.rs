//! Programs that tests and measurements compare ours with.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::apt;
use crate::{arch::Arch, command, privilege};

/// What tests without privileges take: each program with Debian's package that has it.
const UNIT: [Tool; 3] =
    [("free", "procps"), ("prometheus", "prometheus"), ("promtool", "prometheus")];

/// What tests as root and measurements take besides.
const PRIVILEGED: [Tool; 15] = [
    ("curl", "curl"),
    ("openssl", "openssl"),
    ("bpftool", "bpftool"),
    ("bpftrace", "bpftrace"),
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("perf", "linux-perf"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
    ("runqlat", "libbpf-tools"),
    ("biolatency", "libbpf-tools"),
    ("fio", "fio"),
    ("losetup", "mount"),
    ("blkdiscard", "util-linux"),
    ("sfdisk", "fdisk"),
    ("mkfs.ext4", "e2fsprogs"),
];

/// What measurements take besides.
const LOAD: [Tool; 3] = [
    ("nginx", "nginx-light"),
    ("prometheus-process-exporter", "prometheus-process-exporter"),
    ("wrk", "wrk"),
];

/// What runs virtual machines.
const EMULATORS: [(Arch, Tool); 2] = [
    (Arch::Amd64, ("qemu-system-x86_64", "qemu-system-x86")),
    (Arch::Arm64, ("qemu-system-aarch64", "qemu-system-arm")),
];

/// What makes the disk of a virtual machine.
const HOST: [Tool; 3] =
    [("debootstrap", "debootstrap"), ("mke2fs", "e2fsprogs"), ("sfdisk", "fdisk")];

/// Packages that would start a service, of which only the programs are wanted, and that service.
const SERVICES: [(&str, &str); 4] = [
    ("nginx-light", "nginx"),
    ("prometheus", "prometheus"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
    ("prometheus-process-exporter", "prometheus-process-exporter"),
];

/// Finds all of them, after installing those that are missing.
pub(crate) fn ensure() -> Result<Vec<(&'static str, PathBuf)>> {
    ensure_all(&[UNIT.as_slice(), &PRIVILEGED].concat())
}

/// Finds those that tests without privileges take, after installing what is missing.
pub(crate) fn ensure_unit() -> Result<Vec<(&'static str, PathBuf)>> {
    ensure_all(&UNIT)
}

/// Finds what measurements take besides, after installing what is missing.
pub(crate) fn ensure_load() -> Result<()> {
    ensure_all(&LOAD).map(drop)
}

/// Finds the emulator of an architecture, after installing it if need be.
pub(crate) fn emulator(arch: Arch) -> Result<PathBuf> {
    let tool = EMULATORS.iter().find(|(emulated, _)| *emulated == arch).map(|(_, tool)| *tool);
    let tools = ensure_all(tool.as_slice())?;
    Ok(tools.into_iter().map(|(_, path)| path).next().expect("every architecture has one"))
}

/// Finds what makes the disk of a virtual machine, after installing what is missing.
pub(crate) fn host_tools() -> Result<()> {
    ensure_all(&HOST).map(drop)
}

type Tool = (&'static str, &'static str);

fn ensure_all(tools: &[Tool]) -> Result<Vec<(&'static str, PathBuf)>> {
    let missing = missing(tools);
    if !missing.is_empty() && apt::is_present() {
        let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        packages.sort_unstable();
        packages.dedup();
        keep_stopped(&packages)?;
        apt::install(&packages)?;
    }
    let missing = self::missing(tools);
    if !missing.is_empty() {
        let list: Vec<_> = missing
            .iter()
            .map(|(tool, package)| format!("`{tool}` (on Debian in package {package})"))
            .collect();
        bail!("programs are missing; install {}", list.join(", "));
    }
    Ok(tools.iter().filter_map(|(tool, _)| Some((*tool, command::find(tool)?))).collect())
}

fn missing(tools: &[Tool]) -> Vec<Tool> {
    tools.iter().copied().filter(|(tool, _)| command::find(tool).is_none()).collect()
}

/// Keeps systemd from starting services that come with packages about to be installed.
fn keep_stopped(packages: &[&str]) -> Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    for (_, service) in SERVICES.iter().filter(|(package, _)| packages.contains(package)) {
        println!("masking {service}.service, only the program is wanted; undo: systemctl unmask");
        command::run(
            privilege::as_root("systemctl", "masking a service")?.args(["mask", service]),
        )?;
    }
    Ok(())
}
