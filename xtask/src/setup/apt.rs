//! Packages of Debian and its descendants.

use std::{process::Command, sync::Once};

use anyhow::{Context, Result};

use crate::{command, privilege};

const PURPOSE: &str = "installing packages";

/// Whether this system has such packages.
pub(crate) fn is_present() -> bool {
    command::find("apt-get").is_some()
}

/// Installs packages.
pub(crate) fn install<S: AsRef<str>>(packages: &[S]) -> Result<()> {
    let packages: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    let remedy = || {
        format!(
            "packages are missing (as root: apt-get update && apt-get install \
             --no-install-recommends {})",
            packages.join(" ")
        )
    };
    update().with_context(remedy)?;
    println!("installing packages: {}", packages.join(" "));
    let options = ["install", "--yes", "--no-install-recommends"];
    apt_get(&[&options, packages.as_slice()].concat()).with_context(remedy)
}

/// The version that would be installed, if the package is known; by old lists where they cannot be
/// read anew.
pub(crate) fn candidate(package: &str) -> Result<Option<String>> {
    update_if_possible()?;
    let policy = command::output(Command::new("apt-cache").args(["policy", package]))?;
    let version = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "));
    Ok(version.filter(|version| *version != "(none)").map(str::to_owned))
}

fn update_if_possible() -> Result<()> {
    if privilege::require(PURPOSE).is_ok() { update() } else { Ok(()) }
}

/// Reads the lists of packages anew, once: a fresh image has none.
fn update() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        println!("reading the lists of packages");
        result = apt_get(&["update"]);
    });
    result
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    // Through `env`, as sudo drops variables.
    let mut command = privilege::as_root("env", PURPOSE)?;
    command
        .args(["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"])
        .args(["-o", "Dpkg::Use-Pty=0", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments);
    command::run(&mut command)
}
