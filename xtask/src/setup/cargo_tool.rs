//! Tools that cargo compiles from their published sources.

use std::{ffi::OsString, fmt, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{command, workspace};

/// A tool at one version, compiled with one set of features. Each has a folder of its own outside
/// the repository: it survives `cargo clean`, and leaves alone whatever release its user has.
pub(crate) struct CargoTool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// Features instead of the default ones.
    pub(crate) features: Option<String>,
}

impl CargoTool {
    /// The executable, if it is there and runs.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let executable = self.folder().ok()?.join("bin").join(self.name);
        command::output(Command::new(&executable).arg("--version")).ok()?;
        Some(executable)
    }

    /// Compiles it, with `variables` set.
    pub(crate) fn install<'a>(
        &self,
        variables: impl IntoIterator<Item = (&'a str, OsString)>,
    ) -> Result<()> {
        let mut cargo = command::cargo("install");
        cargo
            .args([self.name, "--version", self.version, "--locked", "--force", "--root"])
            .arg(self.folder()?)
            // It runs for a second, and compiling it takes minutes.
            .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .envs(variables);
        if let Some(features) = &self.features {
            cargo.args(["--no-default-features", "--features", features]);
        }
        command::run(&mut cargo)
    }

    fn folder(&self) -> Result<PathBuf> {
        let mut name = format!("{}-{}", self.name, self.version);
        if let Some(features) = &self.features {
            name = format!("{name}-{features}");
        }
        Ok(workspace::cache()?.join(name))
    }
}

impl fmt::Display for CargoTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)
    }
}
