//! The Collector and the stores that tests send to, made outside the repository and linked to from
//! `target/backends`, where `monitor_backends` looks for them.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use monitor_backends::Programs;

use super::{
    ensure,
    go_tool::{GoTool, Source},
    moto,
};

const TOOLS: [GoTool; 4] = [
    GoTool {
        name: "collector",
        version: "0.152.0",
        source: Source::Module { folder: "otel-collector/distribution", package: "." },
        tags: "",
        version_variable: None,
        // It is our own choice of components.
        or_installed: false,
    },
    GoTool {
        name: "prometheus",
        version: "3.15.0",
        source: Source::Module {
            folder: "tests/backends/prometheus",
            package: "github.com/prometheus/prometheus/cmd/prometheus",
        },
        // Nothing is discovered, and much less compiled.
        tags: "remove_all_sd",
        version_variable: Some("github.com/prometheus/common/version.Version"),
        or_installed: true,
    },
    GoTool {
        name: "victoria-logs",
        version: "1.52.1",
        source: Source::Published("github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs"),
        tags: "",
        version_variable: Some("github.com/VictoriaMetrics/VictoriaMetrics/lib/buildinfo.Version"),
        or_installed: true,
    },
    GoTool {
        name: "kafka",
        version: "1.0.0",
        source: Source::Module { folder: "tests/backends/kafka", package: "." },
        tags: "",
        version_variable: None,
        or_installed: false,
    },
];

/// Finds all of them, after making those that are missing. Returns their names with where they are.
pub(crate) fn ensure_all() -> Result<Vec<(&'static str, PathBuf)>> {
    let mut found = Vec::new();
    for tool in &TOOLS {
        let what = format!("{} {}", tool.name, tool.version);
        found.push((tool.name, ensure(&what, || tool.find(), || tool.install())?));
    }
    found.push(("moto", ensure("moto", moto::find, moto::install)?));
    for (name, path) in &found {
        link(name, path)?;
    }
    Ok(found)
}

fn link(name: &str, to: &Path) -> Result<()> {
    let link = Programs::folder().join(name);
    let set = || -> io::Result<()> {
        if fs::read_link(&link).is_ok_and(|old| old == to) {
            return Ok(());
        }
        fs::create_dir_all(Programs::folder())?;
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => symlink(to, &link),
        }
    };
    set().with_context(|| format!("cannot make the link {}", link.display()))
}
