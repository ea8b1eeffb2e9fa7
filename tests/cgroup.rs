//! A cgroup of our own, in either version.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use crate::session::read;

/// The mount of the `cpu` controller of version 1, if it is in use.
pub fn version_1() -> Option<PathBuf> {
    controller("cpu")
}

/// The mount of a controller of version 1, if it is in use.
pub fn controller(name: &str) -> Option<PathBuf> {
    mount(|kind, options| kind == "cgroup" && options.split(',').any(|option| option == name))
}

/// The mount of version 2.
pub fn version_2() -> Option<PathBuf> {
    mount(|kind, _| kind == "cgroup2")
}

fn mount(wanted: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    read("/proc/self/mountinfo").lines().find_map(|line| {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut fields = filesystem.split(' ');
        let found = wanted(fields.next()?, fields.nth(1)?);
        found.then(|| PathBuf::from(mount.split(' ').nth(4).unwrap_or_default()))
    })
}

/// A cgroup, removed at the end.
pub struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes a cgroup whose processes together get `quota_us` of CPU time in each `period_us`.
    pub fn new(name: &str, quota_us: u32, period_us: u32) -> Self {
        let id = process::id();
        let (root, files) = if let Some(root) = version_1() {
            let quota = ("cpu.cfs_quota_us", quota_us.to_string());
            (root, vec![("cpu.cfs_period_us", period_us.to_string()), quota])
        } else {
            let root = version_2().expect("this host has cgroups");
            // Refused where the root is not ours to change; then it has been done already.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+cpu");
            (root, vec![("cpu.max", format!("{quota_us} {period_us}"))])
        };
        Self::make(root.join(format!("monitor-tests-{name}-{id}")), files)
    }

    /// Makes a cgroup whose processes together may have this much memory.
    pub fn with_memory(name: &str, bytes: u64) -> Self {
        let (root, file) = if let Some(root) = controller("memory") {
            (root, "memory.limit_in_bytes")
        } else {
            let root = version_2().expect("this host has cgroups");
            // As above.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
            (root, "memory.max")
        };
        let id = process::id();
        let path = root.join(format!("monitor-tests-{name}-{id}"));
        Self::make(path, vec![(file, bytes.to_string())])
    }

    fn make(path: PathBuf, files: Vec<(&str, String)>) -> Self {
        let cgroup = Self(path);
        fs::create_dir(&cgroup.0).unwrap_or_else(|e| panic!("cannot make {:?}: {e}", cgroup.0));
        for (file, value) in files {
            let path = cgroup.0.join(file);
            fs::write(&path, value).unwrap_or_else(|error| panic!("cannot set {path:?}: {error}"));
        }
        cgroup
    }

    /// Its directory.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        fs::metadata(&self.0).expect("it was made here").ino()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // It stays busy for a moment after its last process has been reaped.
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}
