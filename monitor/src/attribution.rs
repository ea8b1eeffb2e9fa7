//! From a process as the kernel names it to the group it is counted in.
//!
//! A tick asks for thousands of processes, nearly all of them known: those cost one lookup in a
//! hash table, without an allocation or a system call.

mod cache;
mod cgroups;
mod group;
mod hierarchy;
mod names;
mod place;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::cache::Cache;
use self::cgroups::{Cgroups, Lookup};
pub use self::group::Group;
use self::group::Groups;
pub use self::hierarchy::{CgroupMount, Hierarchy, SEARCH_LIMIT};
pub use self::names::Names;
use self::place::Place;
use crate::host::HostPaths;
use crate::sample::Process;

/// How many processes are remembered.
const CAPACITY: usize = 32_768;

/// Why processes cannot be told apart by container and unit.
#[derive(Debug, Error)]
pub enum Error {
    /// The list of mounts cannot be read.
    #[error(
        "cannot read the host's mounts from {path}: {source}; where the host's /proc is mounted \
         elsewhere, say so with --host-proc"
    )]
    Mounts {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no hierarchy that containers could be in.
    #[error(
        "{path} lists neither a cgroup2 file system nor one of the cpu, memory or pids controller; \
         mount /sys/fs/cgroup"
    )]
    NoHierarchy {
        /// The file.
        path: PathBuf,
    },
    /// The hierarchy is not visible.
    #[error(
        "cannot list the host's cgroups at {path}: {source}; where the host's /sys is mounted \
         elsewhere, say so with --host-sys"
    )]
    Hidden {
        /// The directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Grouping key of processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum GroupBy {
    /// Command name, container and systemd unit
    #[default]
    CommandAndContainer,
    /// Command name
    Command,
    /// Container and systemd unit
    Container,
    /// Process ID, command name, container and systemd unit
    Process,
}

/// Finds the group of a process.
#[derive(Debug)]
pub struct Attributor {
    group_by: GroupBy,
    cgroups: Option<Cgroups>,
    names: Names,
    groups: Groups,
    known: Cache<Process, Known>,
    unresolved: u64,
}

#[derive(Clone, Debug)]
struct Known {
    group: Arc<Group>,
    /// When it is worth looking for the cgroup again, if it was not found.
    retry_at: Option<Instant>,
}

impl Attributor {
    /// An attributor that looks for cgroups in `mount`; without one, it knows no places.
    pub fn new(group_by: GroupBy, paths: &HostPaths, mount: Option<CgroupMount>) -> Self {
        Self {
            group_by,
            cgroups: mount.map(|mount| Cgroups::new(mount, paths.proc.clone())),
            names: Names::new(paths),
            groups: Groups::default(),
            known: Cache::new(CAPACITY),
            unresolved: 0,
        }
    }

    /// From now on groups are told apart by something else.
    pub fn set_group_by(&mut self, group_by: GroupBy) {
        self.group_by = group_by;
        self.known.clear();
    }

    /// The group that `process` is counted in.
    pub fn group(&mut self, process: &Process) -> Arc<Group> {
        let key = self.key(process);
        if let Some(known) = self.known.get(&key)
            && known.retry_at.is_none_or(|retry_at| Instant::now() < retry_at)
        {
            return known.group;
        }
        let known = self.find(process);
        self.known.insert(key, known.clone());
        known.group
    }

    /// The names of containers that it knows.
    pub fn names(&self) -> Names {
        self.names.clone()
    }

    /// Looks all cgroups up.
    pub fn search(&mut self) {
        if let Some(cgroups) = &mut self.cgroups {
            cgroups.search();
        }
    }

    /// Takes a cgroup's id and path, as they are reported when it is created.
    pub fn created(&mut self, id: u64, path: &str) {
        if let Some(cgroups) = &mut self.cgroups {
            cgroups.remember(id, path);
        }
    }

    /// Lookups of a process's place that found no such cgroup.
    pub fn unresolved(&self) -> u64 {
        self.unresolved
    }

    /// The process without what does not matter for its group.
    fn key(&self, process: &Process) -> Process {
        let mut key = *process;
        match self.group_by {
            GroupBy::Process => return key,
            GroupBy::CommandAndContainer => {}
            GroupBy::Command => key.cgroup_id = 0,
            GroupBy::Container => key.comm = Default::default(),
        }
        key.pid = 0;
        key
    }

    fn find(&mut self, process: &Process) -> Known {
        let mut group = Group::default();
        let mut retry_at = None;
        if self.group_by != GroupBy::Container {
            group.executable = executable(process);
        }
        if self.group_by == GroupBy::Process {
            group.pid = Some(process.pid).filter(|pid| *pid != 0);
        }
        if self.group_by != GroupBy::Command
            && let Some(cgroups) = &mut self.cgroups
        {
            match cgroups.place(process.cgroup_id, process.pid) {
                Lookup::Found(place) => {
                    group.container_name =
                        place.container_id.as_deref().and_then(|id| self.names.name(id));
                    group.container_id = place.container_id.clone();
                    group.systemd_unit = place.unit.clone();
                }
                Lookup::Missing(until) => {
                    self.unresolved += 1;
                    retry_at = Some(until);
                }
            }
        }
        Known { group: self.groups.intern(group), retry_at }
    }
}

/// The id of the container that the cgroup with this path, from the root of its hierarchy, is made for.
pub fn container_id(path: &str) -> Option<String> {
    Place::of_cgroup(path)?.container_id
}

/// Tells which containers and units cgroups are.
#[derive(Debug)]
pub struct Places(Names);

impl Places {
    /// With the names that containers have.
    pub fn new(names: Names) -> Self {
        Self(names)
    }

    /// The container or unit that the cgroup with this path, from the root of its hierarchy, is made
    /// for; none for others, such as slices.
    pub fn group(&mut self, path: &str) -> Option<Arc<Group>> {
        let place = Place::of_cgroup(path)?;
        let container_name = place.container_id.as_deref().and_then(|id| self.0.name(id));
        Some(Arc::new(Group {
            container_name,
            container_id: place.container_id,
            systemd_unit: place.unit,
            ..Group::default()
        }))
    }
}

/// The command name; of a kernel thread what comes before the slash, so that `kworker/0:1-events`
/// and `kworker/u8:2` are both `kworker`.
fn executable(process: &Process) -> String {
    let comm = process.comm.split(|byte| *byte == 0).next().unwrap_or_default();
    let comm = String::from_utf8_lossy(comm);
    match comm.split_once('/') {
        Some((kind, _)) if process.kernel_thread && !kind.is_empty() => kind.to_owned(),
        _ => comm.into_owned(),
    }
}

#[cfg(test)]
mod tests;
