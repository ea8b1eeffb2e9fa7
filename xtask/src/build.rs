//! Builds the BPF objects, then the daemon that carries them.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    arch::Arch,
    command,
    setup::{self, BPF_TARGET, Toolchain},
    workspace::{self, Profile},
};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Optimise the daemon; BPF objects always are
    #[arg(long)]
    release: bool,
    /// Architecture of the daemon, as Rust calls it with Linux and glibc [default: this machine's]
    #[arg(long, value_name = "TRIPLE", value_parser = Arch::of_target)]
    target: Option<Arch>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let profile = if args.release { Profile::Release } else { Profile::Dev };
    let daemon = match args.target {
        None => daemon(profile)?,
        Some(arch) => {
            bpf_objects(&setup::toolchain()?)?;
            compile(setup::cargo_for(arch)?, profile)?;
            let folder = workspace::root().join("target").join(arch.target());
            folder.join(profile.folder()).join("monitor")
        }
    };
    println!("built {}", daemon.display());
    Ok(())
}

/// Builds the daemon with all it needs, and returns where it is.
pub(crate) fn daemon(profile: Profile) -> Result<PathBuf> {
    bpf_objects(&setup::toolchain()?)?;
    compile(command::cargo("build"), profile)?;
    workspace::daemon(profile)
}

/// Builds the daemon by a `cargo build`.
fn compile(mut cargo: Command, profile: Profile) -> Result<()> {
    cargo.args(["--package", "monitor"]);
    if let Profile::Release = profile {
        cargo.arg("--release");
    }
    command::run(&mut cargo)
}

/// Builds one object for every file or folder in `monitor-ebpf/src/bin`.
pub(crate) fn bpf_objects(toolchain: &Toolchain) -> Result<()> {
    println!("building the BPF objects");
    command::run(toolchain.cargo("build").arg("--bins"))?;

    let built = toolchain.target_dir().join(BPF_TARGET).join("release");
    let objects = workspace::bpf_objects();
    fs::create_dir_all(&objects).with_context(|| format!("cannot make {}", objects.display()))?;
    let probes = probes(&workspace::root().join("monitor-ebpf/src/bin"))?;
    for probe in &probes {
        let object = objects.join(probe).with_extension("o");
        let stripped = built.join(probe).with_extension("stripped");
        strip(toolchain, &built.join(probe), &stripped)?;
        replace(&stripped, &object)?;
    }
    remove_others(&objects, &probes)
}

/// The names of the probes: those that cargo takes for programs.
fn probes(folder: &Path) -> Result<Vec<String>> {
    let files =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut probes = Vec::new();
    for file in files {
        let path = file?.path();
        let is_probe = path.join("main.rs").is_file() || path.extension() == Some(OsStr::new("rs"));
        let name = path.file_stem().filter(|_| is_probe);
        probes.extend(name.map(|name| name.to_string_lossy().into_owned()));
    }
    Ok(probes)
}

/// Leaves out the DWARF, four fifths of an object that nothing reads. BTF stays.
fn strip(toolchain: &Toolchain, object: &Path, stripped: &Path) -> Result<()> {
    command::run(
        Command::new(toolchain.strip()).arg("--strip-debug").arg("-o").args([stripped, object]),
    )
}

/// Copies a file only when it differs: cargo takes a newer file for a reason to build the daemon
/// again.
fn replace(from: &Path, to: &Path) -> Result<()> {
    let new = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    fs::write(to, new).with_context(|| format!("cannot write {}", to.display()))
}

/// Removes the objects of probes that are no more.
fn remove_others(objects: &Path, probes: &[String]) -> Result<()> {
    for entry in fs::read_dir(objects)? {
        let path = entry?.path();
        if !probes.iter().any(|probe| path.file_stem() == Some(OsStr::new(probe))) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{env, process};

    use super::*;

    #[test]
    fn probes_are_source_files_and_folders_with_a_main() {
        let folder = env::temp_dir().join(format!("xtask-probes-{}", process::id()));
        for file in ["sched/main.rs", "memory.rs", "README.md", "memory.rs~", "notes/sched.txt"] {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let mut found = probes(&folder).unwrap();
        found.sort();
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, ["memory", "sched"]);
    }
}
