//! A directory for a test's files, removed when the test ends.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::{env, fs, process};

pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A new directory; `name` is unique among the tests.
    pub(crate) fn new(name: &str) -> Self {
        let directory = env::temp_dir().join(format!("monitor-{}-{name}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    /// Writes a file, and makes the directories above it.
    pub(crate) fn write(&self, relative: &str, content: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Makes a directory, and those above it; returns its inode number.
    pub(crate) fn directory(&self, relative: &str) -> u64 {
        let path = self.path(relative);
        fs::create_dir_all(&path).unwrap();
        fs::metadata(path).unwrap().ino()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
