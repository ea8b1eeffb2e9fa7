//! Files from Debian's packages, which are unpacked below the cache and not installed: a kernel for a
//! virtual machine is none for this one.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    arch::Arch,
    setup::suite::{self, Suite, Suites},
};

/// What the machines' disks take, where the kernel has it as a module, in the order of loading.
const MODULES: [&str; 9] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "mq-deadline",
    "bfq",
    "kyber-iosched",
];
/// How a module's file name ends.
const ENDINGS: [&str; 2] = [".ko", ".ko.xz"];

/// A kernel from a package.
pub(crate) struct Kernel {
    /// Its release, as `uname -r` says it.
    pub(crate) name: String,
    pub(crate) image: PathBuf,
    /// The folder of its modules.
    pub(crate) tree: PathBuf,
    /// Those of [`MODULES`] that it has.
    pub(crate) modules: Vec<PathBuf>,
}

/// The newest kernel of a series such as `6.1`; `6.1-rt` is that with PREEMPT_RT.
pub(crate) fn kernel(suites: &mut Suites, series: &str, arch: Arch) -> Result<Kernel> {
    let pattern = pattern(series, arch)?;
    for name in suite::OF_KERNELS {
        let suite = suites.open(name)?;
        let packages = suite.search(&pattern)?;
        if let Some(package) = packages.into_iter().max_by_key(|name| numbers(name)) {
            return unpack(suite, package.trim_start_matches("linux-image-"));
        }
    }
    let suites = suite::OF_KERNELS.map(|(_, name)| name).join(", ");
    bail!("no package of {suites} has a kernel {series} for {}", arch.debian())
}

/// What the names of a series' packages look like.
fn pattern(series: &str, arch: Arch) -> Result<String> {
    let (numbers, flavour) = match series.strip_suffix("-rt") {
        Some(numbers) => (numbers, "rt"),
        None => (series.trim_end_matches("-lockdown"), "cloud"),
    };
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    ensure!(
        numbers.split('.').count() == 2 && numbers.split('.').all(is_number),
        "{series:?} is no series of kernels; name one as in 6.1 or 6.1-rt"
    );
    let numbers = numbers.replace('.', "\\.");
    Ok(format!("^linux-image-{numbers}\\.[0-9].*-{flavour}-{}$", arch.debian()))
}

fn unpack(suite: &Suite, release: &str) -> Result<Kernel> {
    let part = |part: &str| format!("linux-{part}-{release}");
    let image = part("image");
    // From 6.19 on `linux-image` only depends on the two that have the files.
    let (image, modules) = match suite.unpacked(&part("binary"))? {
        Some(binary) => {
            let modules = part("modules");
            let listed = suite.unpacked(&modules)?;
            // These are made from a source that newer series replace, so they leave the lists first.
            let unlisted = || suite.unlisted(&modules, "linux", &image);
            (binary, Some(listed.map_or_else(unlisted, Ok)?))
        }
        None => {
            let unpacked = suite.unpacked(&image)?;
            (unpacked.with_context(|| format!("the suite no longer has {image}"))?, None)
        }
    };
    let images = [format!("boot/vmlinuz-{release}"), format!("usr/lib/modules/{release}/vmlinuz")];
    let modules = modules.as_ref().unwrap_or(&image);
    let trees = ["lib/modules", "usr/lib/modules"].map(|tree| modules.join(tree).join(release));
    let tree = trees.into_iter().find(|tree| tree.is_dir()).context("the kernel has no modules")?;
    let mut files = Vec::new();
    list(&tree, &mut files)?;
    let modules = MODULES.iter().filter_map(|module| {
        let names = ENDINGS.map(|ending| format!("{module}{ending}"));
        files.iter().find(|file| names.iter().any(|name| file.ends_with(name))).cloned()
    });
    Ok(Kernel {
        name: release.to_owned(),
        image: first(&image, &images)?,
        tree,
        modules: modules.collect(),
    })
}

/// A shell and its tools in one file without libraries.
pub(super) fn busybox(suites: &mut Suites) -> Result<PathBuf> {
    let folder = suites.unpacked(&suite::OF_TOOLS, "busybox-static")?;
    let folder = folder.context("there is no package busybox-static")?;
    first(&folder, &["bin/busybox", "usr/bin/busybox"])
}

/// The first of these files that a folder has.
fn first(folder: &Path, files: &[impl AsRef<Path>]) -> Result<PathBuf> {
    files.iter().map(|file| folder.join(file)).find(|path| path.is_file()).with_context(|| {
        let names: Vec<_> = files.iter().map(|file| file.as_ref().display().to_string()).collect();
        format!("{} has none of {}", folder.display(), names.join(", "))
    })
}

/// All files below a folder.
fn list(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

/// The numbers in a name, by which versions are ordered.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Arch, numbers, pattern};

    #[test]
    fn versions_are_ordered_by_number() {
        let names =
            ["6.1.0-9-cloud", "6.1.0-50-cloud", "6.12.9+deb12-cloud", "6.12.10+deb12-cloud"];
        assert!(names.is_sorted_by_key(|name| numbers(name)));
    }

    #[test]
    fn series_name_packages() {
        assert_eq!(
            pattern("6.1", Arch::Arm64).unwrap(),
            "^linux-image-6\\.1\\.[0-9].*-cloud-arm64$"
        );
        assert_eq!(
            pattern("6.12-rt", Arch::Amd64).unwrap(),
            "^linux-image-6\\.12\\.[0-9].*-rt-amd64$"
        );
        for wrong in ["6", "6.1.2", "6.x", "", "rt", "6.1-cloud"] {
            assert!(pattern(wrong, Arch::Amd64).is_err(), "{wrong}");
        }
    }
}
