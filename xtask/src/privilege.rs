//! Becoming root, which installing packages and loading BPF programs take.

use std::{ffi::OsStr, fs, os::unix::fs::MetadataExt, process::Command};

use anyhow::{Result, ensure};

use crate::command;

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Checks that there is a way to become root. `purpose` says what it is for.
pub(crate) fn require(purpose: &str) -> Result<()> {
    ensure!(
        is_root() || command::find("sudo").is_some(),
        "{purpose} takes root, and there is no sudo; run this as root, or install sudo"
    );
    Ok(())
}

/// A command that runs as root: through sudo where this process does not.
pub(crate) fn as_root(program: impl AsRef<OsStr>, purpose: &str) -> Result<Command> {
    require(purpose)?;
    if is_root() {
        return Ok(Command::new(program));
    }
    println!("{purpose} takes root: using sudo");
    let mut command = Command::new("sudo");
    command.arg(program);
    Ok(command)
}
