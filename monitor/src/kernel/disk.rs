//! How the kernel names block devices, and which disks they are on.

use std::{borrow::Cow, collections::BTreeSet, fs, path::Path};

/// How many layers of stacked devices are followed.
const MAX_LAYERS: u32 = 16;

/// The name of a device, as in `/proc/diskstats`; `None` for one that is hidden or gone.
pub fn by_number(sys: &Path, (major, minor): (u32, u32)) -> Option<String> {
    let target = fs::read_link(sys.join(format!("dev/block/{major}:{minor}"))).ok()?;
    Some(plain(target.file_name()?.to_str()?))
}

/// The disks that a device is on: that of a partition, those below a stacked device (dm, md), and the
/// device itself where it is neither.
pub fn disks_of(sys: &Path, name: &str) -> BTreeSet<String> {
    let mut disks = BTreeSet::new();
    add_disks(sys, name, MAX_LAYERS, &mut disks);
    disks
}

fn add_disks(sys: &Path, name: &str, layers: u32, disks: &mut BTreeSet<String>) {
    let directory = sys.join("class/block").join(name.replace('/', "!"));
    let whole = || {
        let path = fs::canonicalize(&directory).ok().filter(|path| path.join("partition").exists());
        Some(plain(path?.parent()?.file_name()?.to_str()?))
    };
    let slaves = fs::read_dir(directory.join("slaves")).into_iter().flatten().flatten();
    let mut below: Vec<_> =
        slaves.filter_map(|entry| Some(plain(entry.file_name().to_str()?))).collect();
    below.extend(whole());
    if below.is_empty() || layers == 0 {
        disks.insert(name.to_owned());
    }
    if layers > 0 {
        below.iter().for_each(|name| add_disks(sys, name, layers - 1, disks));
    }
}

/// The name of a directory of `/sys` as the kernel's own: a slash cannot be in it.
fn plain(directory: &str) -> String {
    directory.replace('!', "/")
}

/// The name of the disk that a hidden one stands for, which is its own where it stands for none. With
/// native multipath `nvme0c1n2` is a path to `nvme0n2`: the kernel names paths by the subsystem, the
/// controller and the namespace, and disks by the first and the last.
pub fn visible(name: &str) -> Cow<'_, str> {
    disk_of_path(name).map_or(Cow::Borrowed(name), Cow::Owned)
}

fn disk_of_path(name: &str) -> Option<String> {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (subsystem, rest) = name.strip_prefix("nvme")?.split_once('c')?;
    let (controller, namespace) = rest.split_once('n')?;
    let is_path = [subsystem, controller, namespace].into_iter().all(is_number);
    is_path.then(|| format!("nvme{subsystem}n{namespace}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;

    #[test]
    fn partitions_and_stacked_devices_are_on_their_disks() {
        let scratch = Scratch::new("disks-of");
        let sys = scratch.path("");
        fs::create_dir_all(sys.join("class/block")).unwrap();
        let device = |name: &str, path: &str, slaves: &[&str]| {
            scratch.directory(&format!("devices/{path}"));
            let link = sys.join("class/block").join(name);
            std::os::unix::fs::symlink(sys.join("devices").join(path), link).unwrap();
            for slave in slaves {
                scratch.write(&format!("devices/{path}/slaves/{slave}"), "");
            }
        };
        device("sda", "sda", &[]);
        device("sda1", "sda/sda1", &[]);
        scratch.write("devices/sda/sda1/partition", "1\n");
        device("cciss!c0d0", "cciss!c0d0", &[]);
        device("cciss!c0d0p2", "cciss!c0d0/cciss!c0d0p2", &[]);
        scratch.write("devices/cciss!c0d0/cciss!c0d0p2/partition", "2\n");
        device("md0", "md0", &["sda1", "cciss!c0d0p2"]);
        device("dm-0", "dm-0", &["md0"]);
        let disks = |name: &str| disks_of(&sys, name).into_iter().collect::<Vec<_>>();
        assert_eq!(disks("sda"), ["sda"]);
        assert_eq!(disks("sda1"), ["sda"]);
        assert_eq!(disks("cciss/c0d0p2"), ["cciss/c0d0"]);
        assert_eq!(disks("dm-0"), ["cciss/c0d0", "sda"]);
        assert_eq!(disks("gone"), ["gone"]);
    }

    #[test]
    fn paths_to_nvme_disks_have_the_name_of_the_disk() {
        assert_eq!(visible("nvme0c1n2"), "nvme0n2");
        assert_eq!(visible("nvme10c0n33"), "nvme10n33");
        for name in ["nvme0n1", "nvme0c0n1p1", "nvmec0n1", "nvme0cn1", "nvme0c0n", "sda", "mmcblk0"]
        {
            assert_eq!(visible(name), name);
        }
    }
}
