//! Which disks block devices are on, from `/sys`.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use super::{Emit, Error, HostPaths, Part};
use crate::kernel::disk;
use crate::metric;
use crate::sample::Attributes;

/// Devices come and go seldom.
const INTERVAL: Duration = Duration::from_secs(15);

pub(super) struct Topology {
    sys: PathBuf,
    /// Of each device and each disk that it is on.
    rows: Vec<Attributes>,
}

impl Topology {
    pub(super) fn new(paths: &HostPaths) -> Self {
        Self { sys: paths.sys.clone(), rows: Vec::new() }
    }
}

impl Part for Topology {
    fn name(&self) -> &'static str {
        "disk topology"
    }

    fn interval(&self) -> Duration {
        INTERVAL
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let path = self.sys.join("class/block");
        let devices = fs::read_dir(&path);
        let devices = devices.map_err(|source| Error::Read { path: path.clone(), source })?;
        self.rows.clear();
        for device in devices.flatten() {
            let read = |file: &str| fs::read_to_string(device.path().join(file)).ok();
            // A drive or loop device with nothing in it, and a path to an NVMe disk that is another device.
            let is = |file, value| read(file).is_some_and(|text| text.trim() == value);
            if !device.path().join("size").exists() || is("size", "0") || is("hidden", "1") {
                continue;
            }
            let name = device.file_name().to_string_lossy().replace('!', "/");
            let mapper = read("dm/name");
            for disk in disk::disks_of(&self.sys, &name) {
                let mapper =
                    mapper.as_deref().map(|name| ("monitor.device_mapper.name", name.trim()));
                let device = [("system.device", name.as_str()), ("monitor.disk", &disk)];
                self.rows.push(Attributes::new(device.into_iter().chain(mapper)));
            }
        }
        Ok(())
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        for attributes in &self.rows {
            emit.gauge(&metric::DISK_INFO, attributes, 1.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::host::tests::{output, read};

    #[test]
    fn lsblk_agrees() {
        let values = read(&mut Topology::new(&HostPaths::default()));
        let told: BTreeSet<_> = values.into_keys().map(|(_, attributes)| attributes).collect();
        let list = output("lsblk", &["--noheadings", "--raw", "--bytes", "--output=KNAME,SIZE"]);
        let listed = list.lines().filter_map(|line| line.split_once(' '));
        let mut count = 0;
        for (device, _) in listed.filter(|(_, size)| *size != "0") {
            // A device and what is below it, down to its disks.
            let path = format!("/dev/{device}");
            let below = ["--inverse", "--noheadings", "--raw", "--output=KNAME,TYPE", &path];
            let below = output("lsblk", &below);
            let words = below.lines().filter_map(|line| line.split_once(' '));
            let disks = words.filter(|(_, kind)| ["disk", "loop", "rom"].contains(kind));
            let expected: BTreeSet<_> = disks
                .map(|(disk, _)| format!("system.device={device},monitor.disk={disk}"))
                .collect();
            let of_device = format!("system.device={device},");
            let told = told.iter().filter(|it| it.starts_with(&of_device));
            let told: BTreeSet<_> = told
                .map(|it| it.split(",monitor.device_mapper").next().unwrap_or_default().to_owned())
                .collect();
            assert_eq!(told, expected);
            count += 1;
        }
        assert!(count > 0, "lsblk lists no device: {list}");
    }
}
