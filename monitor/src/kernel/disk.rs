//! How the kernel names disks.

use std::borrow::Cow;

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
