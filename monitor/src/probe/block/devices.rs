//! What block devices are called.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use monitor_common::block::major_minor;

use crate::kernel::disk;

/// How many names are remembered of devices that may be gone.
const KNOWN: usize = 1024;

/// Lists disks that `/sys` has no number for, too: the kernel hides what others stand for.
const DISKS: &str = "/proc/diskstats";

/// The names of devices by their numbers.
pub(super) struct Devices {
    /// The host's `/sys`.
    sys: PathBuf,
    /// Has a line for every disk.
    disks: PathBuf,
    /// A device may be gone when what it did last is reported.
    known: HashMap<u32, String>,
}

impl Devices {
    /// Devices as the host's `/sys` tells.
    pub(super) fn new(sys: &Path) -> Self {
        Self { sys: sys.to_owned(), disks: DISKS.into(), known: HashMap::new() }
    }

    /// The present name of a device; of one that is gone the last; of one never seen its number. It is
    /// asked for each time, as a number may get another device. One path of several to an NVMe disk is
    /// called by the disk: it is hidden, and who uses the disk does not know it.
    pub(super) fn name(&mut self, device: u32) -> String {
        let (major, minor) = major_minor(device);
        let name = disk::by_number(&self.sys, (major, minor));
        let name = name.or_else(|| self.hidden(major, minor));
        let Some(name) = name else {
            let number = || format!("{major}:{minor}");
            return self.known.get(&device).cloned().unwrap_or_else(number);
        };
        if self.known.get(&device) != Some(&name) {
            if self.known.len() >= KNOWN {
                self.known.clear();
            }
            self.known.insert(device, name.clone());
        }
        name
    }

    /// What stands for a hidden disk.
    fn hidden(&self, major: u32, minor: u32) -> Option<String> {
        let disks = fs::read_to_string(&self.disks).ok()?;
        let name = disks.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let number = [words.next()?, words.next()?].map(str::parse);
            (number == [Ok(major), Ok(minor)]).then(|| words.next())?
        })?;
        Some(disk::visible(name).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use monitor_common::block::device;

    use super::*;

    #[test]
    fn names_are_those_of_sys_and_stay_when_a_device_is_gone() {
        let sys = std::env::temp_dir().join(format!("monitor-devices-{}", std::process::id()));
        let links = sys.join("dev/block");
        fs::create_dir_all(&links).unwrap();
        let link = |number: &str, target: &str| {
            let _ = fs::remove_file(links.join(number));
            std::os::unix::fs::symlink(target, links.join(number)).unwrap();
        };
        link("259:3", "../../devices/pci0000:00/nvme/nvme0/nvme0n1");
        link("104:0", "../../devices/pci0000:00/cciss0/block/cciss!c0d0");
        let mut devices = Devices::new(&sys);
        devices.disks = sys.join("diskstats");
        assert_eq!(devices.name(device(259, 3)), "nvme0n1");
        assert_eq!(devices.name(device(104, 0)), "cciss/c0d0");
        assert_eq!(devices.name(device(7, 9)), "7:9");
        fs::remove_file(links.join("259:3")).unwrap();
        assert_eq!(devices.name(device(259, 3)), "nvme0n1");
        link("259:3", "../../devices/pci0000:00/nvme/nvme1/nvme1n1");
        assert_eq!(devices.name(device(259, 3)), "nvme1n1");
        // Hidden ones are only listed.
        let list = "  11  0 sr0 1\n 259  4 nvme1c0n2 5 6\n 259 44 nvme3n1 7\n 252  7 dm-7 8\n";
        fs::write(&devices.disks, list).unwrap();
        assert_eq!(devices.name(device(259, 4)), "nvme1n2");
        assert_eq!(devices.name(device(252, 7)), "dm-7");
        assert_eq!(devices.name(device(259, 5)), "259:5");
        fs::remove_dir_all(sys).unwrap();
    }
}
