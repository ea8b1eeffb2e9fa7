//! Which hierarchy of cgroups tells containers and units apart, and where it is mounted.

use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::{fs, io};

use super::Error;
use crate::host::HostPaths;

/// The controllers of version 1 that container runtimes and systemd both make cgroups for, best
/// first.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// How many cgroups a search visits.
pub const SEARCH_LIMIT: usize = 65_536;

/// The mounts of the host, below its `/proc`.
const HOST_MOUNTS: &str = "1/mountinfo";

/// A hierarchy of cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The unified hierarchy of version 2.
    V2,
    /// The hierarchy of one controller of version 1. A host that has both versions is one of these,
    /// as the resources of its containers are there.
    V1 {
        /// Name of the controller: `cpu`, `memory` or `pids`.
        controller: &'static str,
    },
}

/// Where a hierarchy is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// Which hierarchy it is.
    pub hierarchy: Hierarchy,
    /// Its directory, as seen from here.
    pub(super) directory: PathBuf,
    /// The cgroup that the directory shows, without a slash at the end. Relative to our own cgroup
    /// namespace: `/..` is the cgroup above the one we were started in.
    pub(super) root: String,
}

impl CgroupMount {
    /// Finds the hierarchy that this host keeps its containers in.
    pub fn detect(paths: &HostPaths) -> Result<Self, Error> {
        let path = paths.proc.join(HOST_MOUNTS);
        let mounts =
            read_mounts(paths).map_err(|source| Error::Mounts { path: path.clone(), source })?;
        let mount = Self::from_mountinfo(&mounts, paths).ok_or(Error::NoHierarchy { path })?;
        match fs::read_dir(&mount.directory) {
            Ok(_) => Ok(mount),
            Err(source) => Err(Error::Hidden { path: mount.directory, source }),
        }
    }

    /// The hierarchy of version 2, also beside others of version 1.
    pub fn version_2(paths: &HostPaths) -> Option<Self> {
        let mounts = read_mounts(paths).ok()?;
        let mounts: Vec<_> = mounts.lines().filter_map(Line::parse).collect();
        let line = highest(&mounts, &|line| line.kind == "cgroup2")?;
        Some(Self::new(Hierarchy::V2, line, paths))
    }

    /// Its directory, as seen from here.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Chooses among the mounts of a `mountinfo` file.
    pub(super) fn from_mountinfo(text: &str, paths: &HostPaths) -> Option<Self> {
        let mounts: Vec<_> = text.lines().filter_map(Line::parse).collect();
        let version_1 = CONTROLLERS.iter().find_map(|controller| {
            let line = highest(&mounts, &|line| line.has_controller(controller))?;
            Some((Hierarchy::V1 { controller }, line))
        });
        let version_2 = || Some((Hierarchy::V2, highest(&mounts, &|line| line.kind == "cgroup2")?));
        let (hierarchy, line) = version_1.or_else(version_2)?;
        Some(Self::new(hierarchy, line, paths))
    }

    fn new(hierarchy: Hierarchy, line: &Line<'_>, paths: &HostPaths) -> Self {
        Self {
            hierarchy,
            directory: paths.locate(Path::new(&unescape(line.mount_point))),
            root: unescape(line.root.trim_end_matches('/')),
        }
    }

    /// Visits every cgroup, `limit` of them at most: its id, and where it is below the mounted
    /// directory. Tells whether there are no others: more than that, or some that cannot be listed.
    pub fn walk(&self, limit: usize, visit: &mut dyn FnMut(u64, &str)) -> bool {
        if let Ok(root) = fs::metadata(&self.directory) {
            visit(root.ino(), "");
        }
        let mut is_complete = true;
        let mut pending = vec![String::new()];
        let mut left = limit;
        while let Some(below) = pending.pop() {
            let children = children(&self.directory.join(&below)).unwrap_or_else(|error| {
                // It may have been removed a moment ago; the mounted directory was not.
                is_complete &= error.kind() == io::ErrorKind::NotFound && !below.is_empty();
                Vec::new()
            });
            for (id, name) in children {
                if left == 0 {
                    return false;
                }
                left -= 1;
                let below = if below.is_empty() { name } else { format!("{below}/{name}") };
                visit(id, &below);
                pending.push(below);
            }
        }
        is_complete
    }

    /// The path of a process's cgroup in this hierarchy, from the text of `/proc/<pid>/cgroup`.
    pub(super) fn path_of<'a>(&self, cgroups: &'a str) -> Option<&'a str> {
        cgroups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            let wanted = match self.hierarchy {
                Hierarchy::V2 => number == "0",
                Hierarchy::V1 { controller } => controllers.split(',').any(|it| it == controller),
            };
            wanted.then_some(path)
        })
    }

    /// Where `path`, which is relative to our cgroup namespace, is below the mounted directory.
    /// `None` when it is not, or when the names between are not known.
    pub fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.root)?;
        let below = rest.strip_prefix('/').or_else(|| rest.is_empty().then_some(""))?;
        (below != ".." && !below.starts_with("../")).then_some(below)
    }

    /// The path, from the root of the hierarchy as far as it is known, of what is at `below`.
    pub fn full_path(&self, below: &str) -> String {
        names(&self.root).chain([below]).fold(String::new(), |path, name| path + "/" + name)
    }
}

/// The ids and names of the cgroups in a cgroup's directory. Names that are not text are left out.
fn children(directory: &Path) -> io::Result<Vec<(u64, String)>> {
    // It has two links and one for each child. Most have none, and need not be listed with the
    // kernel's dozens of files in them.
    if fs::metadata(directory)?.nlink() == 2 {
        return Ok(Vec::new());
    }
    let mut children = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir()
            && let Ok(name) = entry.file_name().into_string()
        {
            children.push((entry.ino(), name));
        }
    }
    Ok(children)
}

/// The text of a `mountinfo` file. The host's init sees all mounts of the host. Where it may not be
/// looked at, as in another PID namespace, our own have to do.
fn read_mounts(paths: &HostPaths) -> io::Result<String> {
    fs::read_to_string(paths.proc.join(HOST_MOUNTS))
        .or_else(|_| fs::read_to_string(paths.proc.join("self/mountinfo")))
}

/// The mount that is wanted. A hierarchy can be mounted more than once, and then parts of it too: the
/// highest shows most.
fn highest<'a, 'l>(
    mounts: &'a [Line<'l>],
    wanted: &dyn Fn(&Line<'_>) -> bool,
) -> Option<&'a Line<'l>> {
    mounts.iter().filter(|line| wanted(line)).min_by_key(|line| depth(line.root))
}

/// The names in a path, without those that only lead upward.
fn names(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty() && *name != "..")
}

/// How far a path leads down, less how far it leads up.
fn depth(path: &str) -> isize {
    let up = path.split('/').filter(|name| *name == "..").count();
    names(path).count() as isize - up as isize
}

/// What matters of a line of `mountinfo`.
struct Line<'a> {
    root: &'a str,
    mount_point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let mut filesystem = filesystem.split(' ');
        Some(Self {
            root: mount.next()?,
            mount_point: mount.next()?,
            kind: filesystem.next()?,
            options: filesystem.nth(1)?,
        })
    }

    fn has_controller(&self, controller: &str) -> bool {
        self.kind == "cgroup" && self.options.split(',').any(|option| option == controller)
    }
}

/// Undoes the escapes of `mountinfo`.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, meant)| text.replace(escape, meant))
}

#[cfg(test)]
mod tests;
