//! File systems. sysinfo lists them; it does not tell what is reserved for root, which would look
//! used.

mod space;

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;
use std::{fs, mem};

use sysinfo::{Disk, DiskRefreshKind, Disks};

use self::space::Space;
use super::{Emit, Error, HostPaths, Part};
use crate::kernel::disk;
use crate::metric;
use crate::sample::Attributes;

/// File systems fill up slowly, and asking one may make a disk move.
const INTERVAL: Duration = Duration::from_secs(15);

pub(super) struct Filesystems {
    disks: Disks,
    paths: HostPaths,
    filesystems: Vec<Filesystem>,
}

struct Filesystem {
    identity: Identity,
    space: Space,
    attributes: Attributes,
    used: Attributes,
    free: Attributes,
    reserved: Attributes,
}

/// What the attributes of a file system are made from.
#[derive(PartialEq)]
struct Identity {
    device: String,
    kind: String,
    mount_point: String,
    read_only: bool,
}

impl Filesystems {
    pub(super) fn new(paths: &HostPaths) -> Result<Self, Error> {
        Ok(Self { disks: Disks::new()?, paths: paths.clone(), filesystems: Vec::new() })
    }
}

impl Part for Filesystems {
    fn name(&self) -> &'static str {
        "filesystems"
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn refresh(&mut self) -> Result<(), Error> {
        self.disks.refresh_specifics(true, DiskRefreshKind::nothing());
        let mut before = mem::take(&mut self.filesystems);
        for disk in mounted_once(&self.disks, &self.paths.root) {
            let space = match Space::at(disk.mount_point()) {
                // What is made of nothing, like the file systems that are a window on the kernel.
                Ok(space) if space.size() == 0 => continue,
                Ok(space) => space,
                // It was unmounted just now.
                Err(_) => continue,
            };
            let identity = Identity::new(disk, &space, &self.paths);
            let known = before.iter().position(|known| known.identity == identity);
            let filesystem = match known {
                Some(known) => before.swap_remove(known),
                None => Filesystem::new(identity),
            };
            self.filesystems.push(Filesystem { space, ..filesystem });
        }
        match self.filesystems.is_empty() {
            true => Err(Error::NoFilesystem { root: self.paths.root.clone() }),
            false => Ok(()),
        }
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        for filesystem in &self.filesystems {
            let Filesystem { space, attributes, used, free, reserved, .. } = filesystem;
            let size = space.size() as f64;
            emit.gauge(&metric::SYSTEM_FILESYSTEM_LIMIT, attributes, size);
            for (attributes, bytes) in
                [(used, space.used), (free, space.free), (reserved, space.reserved)]
            {
                let bytes = bytes as f64;
                emit.gauge(&metric::SYSTEM_FILESYSTEM_USAGE, attributes, bytes);
                emit.gauge(&metric::SYSTEM_FILESYSTEM_UTILIZATION, attributes, bytes / size);
            }
        }
    }
}

/// The file systems of the host, each once: where it is mounted more than once, as for the files
/// that container engines lay over a container's own, the shortest path.
fn mounted_once<'a>(disks: &'a [Disk], root: &Path) -> Vec<&'a Disk> {
    let length = |disk: &Disk| disk.mount_point().as_os_str().len();
    let mut once: Vec<&Disk> = Vec::new();
    for disk in disks.iter().filter(|disk| disk.mount_point().starts_with(root)) {
        // The layers of a container have the space of the file system they are on, and what a
        // program serves through FUSE may hang with it.
        let kind = disk.file_system().as_encoded_bytes();
        if kind == b"overlay" || kind.starts_with(b"fuse.") || disk.id().is_none() {
            continue;
        }
        match once.iter_mut().find(|other| other.id() == disk.id()) {
            Some(other) if length(disk) < length(other) => *other = disk,
            Some(_) => {}
            None => once.push(disk),
        }
    }
    once
}

impl Identity {
    fn new(disk: &Disk, space: &Space, paths: &HostPaths) -> Self {
        // As the host calls it.
        let below = disk.mount_point().strip_prefix(&paths.root).unwrap_or(disk.mount_point());
        Self {
            device: device(disk, paths),
            kind: disk.file_system().to_string_lossy().into_owned(),
            mount_point: Path::new("/").join(below).to_string_lossy().into_owned(),
            read_only: space.read_only,
        }
    }
}

/// What a file system is on, by the name that its disk has in all metrics: `dm-0` for
/// `/dev/mapper/vg-home`. What is on no block device is called as it was mounted.
fn device(disk: &Disk, paths: &HostPaths) -> String {
    let mounted = disk.name().to_string_lossy();
    let Some(name) = mounted.strip_prefix("/dev/") else { return mounted.into_owned() };
    let number = fs::metadata(disk.mount_point()).map(|it| it.dev()).unwrap_or_default();
    disk::by_number(&paths.sys, (libc::major(number), libc::minor(number)))
        // Some, such as btrfs, have numbers of their own.
        .or_else(|| {
            let target = fs::canonicalize(paths.locate(Path::new(&*mounted))).ok()?;
            Some(target.file_name()?.to_str()?.to_owned())
        })
        .unwrap_or_else(|| name.to_owned())
}

impl Filesystem {
    fn new(identity: Identity) -> Self {
        let attributes = Attributes::new([
            ("system.device", identity.device.as_str()),
            ("system.filesystem.mode", if identity.read_only { "ro" } else { "rw" }),
            ("system.filesystem.mountpoint", &identity.mount_point),
            ("system.filesystem.type", &identity.kind),
        ]);
        let state = |state| attributes.with(&Attributes::new([("system.filesystem.state", state)]));
        let (used, free, reserved) = (state("used"), state("free"), state("reserved"));
        Self { identity, space: Space::default(), attributes, used, free, reserved }
    }
}

#[cfg(test)]
mod tests;
