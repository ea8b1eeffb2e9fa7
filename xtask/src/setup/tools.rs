//! Programs that tests and measurements compare ours with.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::apt;
use crate::{command, privilege};

/// Each program with Debian's package that has it.
const TOOLS: [(&str, &str); 7] = [
    ("bpftool", "bpftool"),
    ("bpftrace", "bpftrace"),
    ("perf", "linux-perf"),
    ("prometheus", "prometheus"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
    ("promtool", "prometheus"),
    ("runqlat", "libbpf-tools"),
];

/// Packages that would start a service of the same name, of which only the programs are wanted.
const SERVICES: [&str; 2] = ["prometheus", "prometheus-node-exporter"];

/// Finds all of them, after installing those that are missing.
pub(crate) fn ensure() -> Result<Vec<(&'static str, PathBuf)>> {
    let missing = missing();
    if !missing.is_empty() && apt::is_present() {
        let mut packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
        packages.sort_unstable();
        packages.dedup();
        keep_stopped(&packages)?;
        apt::install(&packages)?;
    }
    if let [(tool, package), ..] = self::missing()[..] {
        bail!("no program `{tool}`, which tests need; install it (on Debian: package {package})");
    }
    Ok(TOOLS.iter().filter_map(|(tool, _)| Some((*tool, command::find(tool)?))).collect())
}

fn missing() -> Vec<(&'static str, &'static str)> {
    TOOLS.into_iter().filter(|(tool, _)| command::find(tool).is_none()).collect()
}

/// Keeps systemd from starting services that come with packages about to be installed.
fn keep_stopped(packages: &[&str]) -> Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    for service in SERVICES.into_iter().filter(|service| packages.contains(service)) {
        println!("masking {service}.service, only the program is wanted; undo: systemctl unmask");
        command::run(
            privilege::as_root("systemctl", "masking a service")?.args(["mask", service]),
        )?;
    }
    Ok(())
}
