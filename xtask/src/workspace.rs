//! Where things are.

use std::{
    env, fs,
    hash::{DefaultHasher, Hash, Hasher},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// How the daemon is compiled.
#[derive(Clone, Copy)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    /// The folder that it is built into, below that of its target.
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is a folder of the repository")
}

/// The folder for what outlives a `cargo clean`: it costs time or a download, and no source changes it.
pub(crate) fn cache() -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cache")))
        .context("no home directory for tools; set HOME or XDG_CACHE_HOME")?;
    Ok(cache.join("monitor-xtask"))
}

/// The folder there for something that is made of these files in some `way`: another one for every change
/// of either.
pub(crate) fn cache_of(name: &str, way: impl Hash, files: &[PathBuf]) -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    way.hash(&mut hasher);
    for path in files {
        let content = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        content.hash(&mut hasher);
    }
    Ok(cache()?.join(format!("{name}-{:016x}", hasher.finish())))
}

/// The folder that the daemon's build takes the BPF objects from.
pub(crate) fn bpf_objects() -> PathBuf {
    root().join("target/bpf")
}

/// The daemon's executable, beside the one of this task.
pub(crate) fn daemon(profile: Profile) -> Result<PathBuf> {
    let this = env::current_exe().context("cannot tell where this program is")?;
    let target = this.ancestors().nth(2).context("this program is not in a target folder")?;
    Ok(target.join(profile.folder()).join("monitor"))
}
