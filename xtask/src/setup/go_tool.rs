//! Programs that Go compiles from their published sources.

use std::{
    collections::VecDeque,
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{command, workspace};

/// How many packages are compiled between two signs of life.
const PROGRESS: usize = 250;
/// How many lines tell why one could not be.
const LAST_WORDS: usize = 20;

/// What a program is compiled from.
pub(super) enum Source {
    /// A package as a module of this repository pins it, with all its dependencies.
    Module { folder: &'static str, package: &'static str },
    /// A package of a published module, at the version of the program and with the dependencies that the
    /// module itself pins. The last element of its path is the name of the program.
    Published(&'static str),
}

/// A program that Go compiles.
pub(super) struct GoTool {
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) source: Source,
    pub(super) tags: &'static str,
    /// The variable of the sources that is the version, where they do not say it themselves.
    pub(super) version_variable: Option<&'static str>,
    /// Whether one that is installed will do.
    pub(super) or_installed: bool,
}

impl GoTool {
    /// The executable, if it is there: one that was made here, or one of the same version that is installed.
    pub(super) fn find(&self) -> Option<PathBuf> {
        let made = self.folder().ok()?.join(self.name);
        let installed = command::find(self.name).filter(|_| self.or_installed);
        [Some(made), installed].into_iter().flatten().find(|program| self.is_version(program))
    }

    fn is_version(&self, program: &Path) -> bool {
        let version = command::output(Command::new(program).arg("--version"));
        let is_it = |word: &str| word.trim_start_matches('v') == self.version;
        version.is_ok_and(|text| text.split([' ', ',', '-']).any(is_it))
    }

    /// Compiles it.
    pub(super) fn install(&self) -> Result<()> {
        ensure!(
            command::find("go").is_some(),
            "there is no `go`; install Go 1.26.5 or later from https://go.dev/dl"
        );
        println!("compiling {} {}, which takes minutes the first time", self.name, self.version);
        let mut flags = "-s -w".to_owned();
        if let Some(variable) = self.version_variable {
            flags += &format!(" -X {variable}={}", self.version);
        }
        // It runs beside whatever else this machine does.
        let mut go = Command::new("nice");
        go.args(["-n", "19", "go"]).env("CGO_ENABLED", "0").stderr(Stdio::piped());
        let flags = ["-v", "-trimpath", "-buildvcs=false", "-ldflags", &flags, "-tags", self.tags];
        let folder = self.folder()?;
        match self.source {
            Source::Module { folder: module, package } => go
                .current_dir(workspace::root().join(module))
                .arg("build")
                .args(flags)
                .args(["-mod=readonly", "-o"])
                .arg(folder.join(self.name))
                .arg(package),
            Source::Published(package) => go
                .env("GOBIN", folder)
                .arg("install")
                .args(flags)
                .arg(format!("{package}@v{}", self.version)),
        };
        let mut process = go.spawn().context("cannot start go")?;
        let lines = BufReader::new(process.stderr.take().expect("it is piped")).lines();
        let mut last = VecDeque::new();
        for (number, line) in (1..).zip(lines) {
            if number % PROGRESS == 0 {
                println!("{}: {number} steps", self.name);
            }
            if last.len() == LAST_WORDS {
                last.pop_front();
            }
            last.push_back(line?);
        }
        let status = process.wait()?;
        if !status.success() {
            bail!("`go` failed, {status}:\n{}", Vec::from(last).join("\n"));
        }
        Ok(())
    }

    /// Where it is made: another one for every change of what it is made of.
    fn folder(&self) -> Result<PathBuf> {
        let name = format!("{}-{}", self.name, self.version);
        let (package, files) = match self.source {
            Source::Module { folder, package } => {
                (package, sources(&workspace::root().join(folder))?)
            }
            Source::Published(package) => (package, Vec::new()),
        };
        workspace::cache_of(&name, (package, self.tags), &files)
    }
}

/// The files of a module, in order.
fn sources(module: &Path) -> Result<Vec<PathBuf>> {
    let files =
        fs::read_dir(module).with_context(|| format!("cannot list {}", module.display()))?;
    let mut sources: Vec<PathBuf> = files
        .filter_map(|file| Some(file.ok()?.path()))
        .filter(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str());
            matches!(extension, Some("go" | "mod" | "sum"))
        })
        .collect();
    sources.sort();
    Ok(sources)
}
