//! Settings of the kernel that a benchmark changes for a while.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

/// A changed setting; it gets its old value back when this is dropped.
pub(super) struct Setting {
    path: PathBuf,
    before: String,
}

impl Setting {
    /// Changes a setting, named by its path below `/proc/sys`.
    pub(super) fn change(name: &str, value: &str) -> Result<Self> {
        let path = PathBuf::from("/proc/sys").join(name);
        let before = read(name)?;
        println!("{name}: {value}, restored to {before} afterwards");
        fs::write(&path, value).with_context(|| format!("cannot set {}", path.display()))?;
        Ok(Self { path, before })
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.path, &self.before) {
            eprintln!("cannot set {} back to {}: {error}", self.path.display(), self.before);
        }
    }
}

/// The value of a setting.
pub(super) fn read(name: &str) -> Result<String> {
    let path = PathBuf::from("/proc/sys").join(name);
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}
