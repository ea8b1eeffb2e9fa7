//! Files from the distribution's packages, which are unpacked outside the repository and not
//! installed: a kernel for a virtual machine is none for this one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use crate::{command, setup::apt, workspace};

/// A kernel from a package.
pub(super) struct Kernel {
    /// Its release, as `uname -r` says it.
    pub(super) name: String,
    pub(super) image: PathBuf,
}

/// The newest kernel of a series such as `6.1` that the distribution offers.
pub(super) fn kernel(series: &str) -> Result<Kernel> {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    ensure!(
        series.split('.').count() == 2 && series.split('.').all(is_number),
        "{series:?} is no series of kernels; name one as in 6.1"
    );
    require_packages()?;
    let pattern = format!("^linux-image-{}\\.[0-9].*-cloud-amd64$", series.replace('.', "\\."));
    let packages = apt::search(&pattern)?;
    let Some(package) = packages.into_iter().max_by_key(|name| numbers(name)) else {
        bail!(
            "no package has a kernel {series}; add the distribution's suite that has one, such as \
             its security updates or backports"
        );
    };
    let name = package.trim_start_matches("linux-image-").to_owned();
    let image = unpacked(&package)?.join("boot").join(format!("vmlinuz-{name}"));
    Ok(Kernel { name, image })
}

/// A shell and its tools in one file without libraries.
pub(super) fn busybox() -> Result<PathBuf> {
    require_packages()?;
    let folder = unpacked("busybox-static")?;
    let places = ["bin/busybox", "usr/bin/busybox"].map(|path| folder.join(path));
    places.into_iter().find(|path| path.is_file()).context("busybox-static has no busybox")
}

fn require_packages() -> Result<()> {
    ensure!(
        apt::is_present() && command::find("dpkg-deb").is_some(),
        "kernels are taken from Debian's packages; run this where apt-get and dpkg-deb are, such as \
         in a container of debian:bookworm"
    );
    Ok(())
}

/// The folder with the files of a package, by its version.
fn unpacked(package: &str) -> Result<PathBuf> {
    let version =
        apt::candidate(package)?.with_context(|| format!("there is no package {package}"))?;
    let folder = workspace::cache()?.join(format!("{package}_{version}"));
    if folder.exists() {
        return Ok(folder);
    }
    println!("fetching {package} {version}");
    // Under another name until it is complete.
    let partial = folder.with_added_extension("partial");
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    apt::download(package, &partial)?;
    let archive = archive_in(&partial)?;
    command::run(Command::new("dpkg-deb").arg("--extract").args([&archive, &partial]))?;
    fs::remove_file(&archive)
        .and_then(|()| fs::rename(&partial, &folder))
        .with_context(|| format!("cannot finish {}", folder.display()))?;
    Ok(folder)
}

fn archive_in(folder: &Path) -> Result<PathBuf> {
    let files =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    files
        .filter_map(|file| Some(file.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("no package was downloaded to {}", folder.display()))
}

/// The numbers in a name, by which versions are ordered.
fn numbers(name: &str) -> Vec<u32> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_are_ordered_by_number() {
        let names =
            ["6.1.0-9-cloud", "6.1.0-50-cloud", "6.12.9+deb12-cloud", "6.12.10+deb12-cloud"];
        assert!(names.is_sorted_by_key(|name| numbers(name)));
    }
}
