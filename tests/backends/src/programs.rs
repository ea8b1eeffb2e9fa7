//! Where the programs are.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// Programs that `cargo xtask setup --tests` made. They are kept outside the repository, and linked to from here.
pub struct Programs(PathBuf);

impl Programs {
    /// The folder of the links.
    pub fn folder() -> PathBuf {
        repository().join("target/backends")
    }

    /// Finds all of them.
    pub fn find() -> Result<Self> {
        let programs = Self(Self::folder());
        for path in [
            programs.collector(),
            programs.prometheus(),
            programs.victoria_logs(),
            programs.kafka(),
            programs.moto(),
            programs.python(),
        ] {
            ensure!(
                path.exists(),
                "no {}; make it with `cargo xtask setup --tests`",
                path.display()
            );
        }
        Ok(programs)
    }

    pub fn collector(&self) -> PathBuf {
        self.0.join("collector")
    }

    pub(crate) fn prometheus(&self) -> PathBuf {
        self.0.join("prometheus")
    }

    pub(crate) fn victoria_logs(&self) -> PathBuf {
        self.0.join("victoria-logs")
    }

    pub(crate) fn kafka(&self) -> PathBuf {
        self.0.join("kafka")
    }

    pub(crate) fn moto(&self) -> PathBuf {
        self.0.join("moto/bin/moto_server")
    }

    /// The interpreter that moto runs in. It has `jsonschema`, too.
    pub fn python(&self) -> PathBuf {
        self.0.join("moto/bin/python")
    }
}

/// The root of the repository.
pub(crate) fn repository() -> &'static Path {
    let this = Path::new(env!("CARGO_MANIFEST_DIR"));
    this.ancestors().nth(2).expect("this is two folders below the root")
}
