//! What block devices are called.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use monitor_common::block::major_minor;

/// How many names are remembered of devices that may be gone.
const KNOWN: usize = 1024;

/// The names of devices by their numbers.
pub(super) struct Devices {
    /// Has a link for every device number.
    directory: PathBuf,
    /// A device may be gone when what it did last is reported.
    known: HashMap<u32, String>,
}

impl Devices {
    /// Devices as the host's `/sys` tells.
    pub(super) fn new(sys: &Path) -> Self {
        Self { directory: sys.join("dev/block"), known: HashMap::new() }
    }

    /// The present name of a device; of one that is gone the last; of one never seen its number. It is
    /// asked for each time, as a number may get another device.
    pub(super) fn name(&mut self, device: u32) -> String {
        let (major, minor) = major_minor(device);
        let number = format!("{major}:{minor}");
        let target = fs::read_link(self.directory.join(&number));
        let name = target.ok().and_then(|path| Some(path.file_name()?.to_str()?.replace('!', "/")));
        let Some(name) = name else {
            return self.known.get(&device).cloned().unwrap_or(number);
        };
        if self.known.get(&device) != Some(&name) {
            if self.known.len() >= KNOWN {
                self.known.clear();
            }
            self.known.insert(device, name.clone());
        }
        name
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
        assert_eq!(devices.name(device(259, 3)), "nvme0n1");
        assert_eq!(devices.name(device(104, 0)), "cciss/c0d0");
        assert_eq!(devices.name(device(7, 9)), "7:9");
        fs::remove_file(links.join("259:3")).unwrap();
        assert_eq!(devices.name(device(259, 3)), "nvme0n1");
        link("259:3", "../../devices/pci0000:00/nvme/nvme1/nvme1n1");
        assert_eq!(devices.name(device(259, 3)), "nvme1n1");
        fs::remove_dir_all(sys).unwrap();
    }
}
