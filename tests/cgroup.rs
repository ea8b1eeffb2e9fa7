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

/// The mount that has a controller, in whichever version.
pub fn root(name: &str) -> PathBuf {
    controller(name).or_else(version_2).expect("this host has cgroups")
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
        let cgroup = Self::own("cpu", name);
        cgroup.limit_cpu(quota_us, period_us);
        cgroup
    }

    /// Makes a cgroup whose processes together may have this much memory.
    pub fn with_memory(name: &str, bytes: u64) -> Self {
        let cgroup = Self::own("memory", name);
        cgroup.limit_memory(bytes);
        cgroup
    }

    /// Makes a cgroup of a controller with a name that nothing else has.
    pub fn own(wanted: &str, name: &str) -> Self {
        let name = format!("monitor-tests-{name}-{}", process::id());
        Self::at(wanted, &root(wanted).join(name))
    }

    /// Makes the cgroup of a controller that is in this directory.
    pub fn at(wanted: &str, directory: &Path) -> Self {
        fs::create_dir_all(directory)
            .unwrap_or_else(|error| panic!("cannot make {directory:?}: {error}"));
        if controller(wanted).is_none() {
            // It has to be on in all cgroups above.
            let root = root(wanted);
            let above: Vec<_> =
                directory.ancestors().skip(1).take_while(|it| it.starts_with(&root)).collect();
            for directory in above.into_iter().rev() {
                // Refused where it is not ours to change; then it has been done already.
                let file = directory.join("cgroup.subtree_control");
                let _ = fs::write(file, format!("+{wanted}"));
            }
        }
        Self(directory.to_owned())
    }

    /// Gives its processes together so much CPU time in each period.
    pub fn limit_cpu(&self, quota_us: u32, period_us: u32) {
        if version_1().is_some() {
            self.set("cpu.cfs_period_us", &period_us.to_string());
            self.set("cpu.cfs_quota_us", &quota_us.to_string());
        } else {
            self.set("cpu.max", &format!("{quota_us} {period_us}"));
        }
    }

    /// Limits the memory of its processes together, and swaps none of it out instead.
    pub fn limit_memory(&self, bytes: u64) {
        let is_old = controller("memory").is_some();
        let [limit, swap] = if is_old {
            ["memory.limit_in_bytes", "memory.swappiness"]
        } else {
            ["memory.max", "memory.swap.max"]
        };
        self.set(limit, &bytes.to_string());
        // A kernel without swap does not have it.
        if self.0.join(swap).exists() {
            self.set(swap, "0");
        }
    }

    /// Writes to one of its files.
    pub fn set(&self, file: &str, value: &str) {
        let path = self.0.join(file);
        fs::write(&path, value).unwrap_or_else(|error| panic!("cannot set {path:?}: {error}"));
    }

    /// The first of these numbers that its `cpu.stat` has.
    pub fn stat(&self, names: &[&str]) -> Option<u64> {
        let text = fs::read_to_string(self.0.join("cpu.stat")).expect("it was made here");
        let value =
            |name| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        names.iter().find_map(value)
    }

    /// Nanoseconds for which it was throttled, on all CPUs.
    pub fn throttled_ns(&self) -> u64 {
        let ns = self.stat(&["throttled_time "]);
        let ns = ns.or_else(|| Some(1000 * self.stat(&["throttled_usec "])?));
        ns.expect("the kernel has quotas")
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
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
        // What is above stays, unless it is empty: then it was made for this one.
        let _ = self.0.parent().map(fs::remove_dir);
    }
}
