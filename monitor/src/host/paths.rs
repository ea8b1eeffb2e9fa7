//! Where the host's files are seen from here.

use std::path::{Path, PathBuf};

/// Where the host's `/proc`, `/sys` and `/` are mounted. In a container they are elsewhere than at
/// their usual places, which there describe the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPaths {
    /// The host's `/proc`.
    pub proc: PathBuf,
    /// The host's `/sys`.
    pub sys: PathBuf,
    /// The host's root directory.
    pub root: PathBuf,
}

impl Default for HostPaths {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), root: "/".into() }
    }
}

impl HostPaths {
    /// Where the file that the host calls `path` is seen.
    pub fn locate(&self, path: &Path) -> PathBuf {
        let below = |start, mounted: &Path| path.strip_prefix(start).map(|rest| mounted.join(rest));
        below("/proc", &self.proc)
            .or_else(|_| below("/sys", &self.sys))
            .or_else(|_| below("/", &self.root))
            .unwrap_or_else(|_| self.root.join(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_host_are_found_where_it_is_mounted() {
        let here = HostPaths::default();
        let container =
            HostPaths { proc: "/host/proc".into(), sys: "/hs".into(), root: "/host".into() };
        for (path, seen) in [
            ("/proc/1/mountinfo", "/host/proc/1/mountinfo"),
            ("/sys/fs/cgroup/cpu", "/hs/fs/cgroup/cpu"),
            ("/var/lib/docker", "/host/var/lib/docker"),
            ("/system", "/host/system"),
            ("/", "/host"),
        ] {
            assert_eq!(here.locate(Path::new(path)), Path::new(path));
            assert_eq!(container.locate(Path::new(path)), Path::new(seen));
        }
    }
}
