//! moto, which stands in for AWS: Python packages, all pinned, in an environment of their own.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use super::apt;
use crate::{command, workspace};

/// The packages.
const REQUIREMENTS: &str = "tests/backends/moto/requirements.txt";
/// What is there once everything is installed.
const COMPLETE: &str = "complete";

/// The environment, if it is there.
pub(super) fn find() -> Option<PathBuf> {
    folder().ok().filter(|folder| folder.join(COMPLETE).exists())
}

pub(super) fn install() -> Result<()> {
    let folder = folder()?;
    make(&folder).or_else(|error| {
        // Debian has the module that makes environments in a package of its own.
        if !apt::is_present() {
            return Err(error).context("Python's module `venv` is missing, or Python 3 itself");
        }
        apt::install(&["python3-venv"])?;
        make(&folder)
    })?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"]);
    command::run(pip.arg(workspace::root().join(REQUIREMENTS)))?;
    fs::write(folder.join(COMPLETE), "")
        .with_context(|| format!("cannot write to {}", folder.display()))
}

fn make(folder: &PathBuf) -> Result<()> {
    command::output(Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder)).map(drop)
}

/// Where it is made: another one for every change of the packages.
fn folder() -> Result<PathBuf> {
    workspace::cache_of("moto", (), &[workspace::root().join(REQUIREMENTS)])
}
