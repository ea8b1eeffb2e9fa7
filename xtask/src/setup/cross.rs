//! `cargo build` for another architecture than this machine's.

use std::{
    env, fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use super::{
    apt,
    suite::{self, Suites},
};
use crate::{arch::Arch, command, workspace};

/// Debian's compiler, and the package with its standard library for each architecture.
const COMPILER: &str = "/usr/bin/rustc";
const STANDARD_LIBRARY: &str = "libstd-rust-web-dev";

/// `cargo build` for an architecture; what that takes is installed.
pub(crate) fn cargo_for(arch: Arch) -> Result<Command> {
    let mut cargo = command::cargo("build");
    cargo.args(["--target", arch.target()]);
    if !arch.is_this() {
        let linker = format!("{}-gcc", arch.gnu());
        if command::find(&linker).is_none() {
            let compiler = format!("gcc-{}", arch.gnu().replace('_', "-"));
            apt::install(&[compiler, format!("libc6-dev-{}-cross", arch.debian())])?;
        }
        let variable = arch.target().replace('-', "_").to_uppercase();
        cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), linker);
        if !has_standard_library(arch) && !add_target(arch) {
            cargo.env("RUSTC", compiler(arch)?);
        }
    }
    Ok(cargo)
}

/// Whether the pinned toolchain can build for it.
fn has_standard_library(arch: Arch) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.current_dir(workspace::root());
    rustc.args(["--print", "target-libdir", "--target", arch.target()]);
    command::output(&mut rustc).is_ok_and(|folder| Path::new(&folder).is_dir())
}

/// Has rustup fetch what the pinned toolchain needs for it.
fn add_target(arch: Arch) -> bool {
    let mut rustup = Command::new("rustup");
    rustup.current_dir(workspace::root());
    command::run(rustup.args(["target", "add", arch.target()])).is_ok()
}

/// Debian's compiler with its standard library for both architectures: a program that runs it with a
/// folder that has both. That for the other is unpacked, not installed, as installing it would take
/// that architecture's packages of what it depends on.
fn compiler(arch: Arch) -> Result<PathBuf> {
    println!("rustup has no {}; using Debian's compiler", arch.target());
    let other = Suites::new(arch)
        .unpacked(&suite::OF_TOOLS, STANDARD_LIBRARY)?
        .with_context(|| format!("there is no package {STANDARD_LIBRARY}"))?;
    let this = command::output(Command::new(COMPILER).args(["--print", "sysroot"]))?;
    let root = workspace::cache()?.join(format!("sysroot-{}", arch.debian()));
    let folder = root.join("lib/rustlib");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for tree in [Path::new(&this).join("lib/rustlib"), other.join("usr/lib/rustlib")] {
        link_all(&tree, &folder)?;
    }
    let script = root.join("rustc");
    let text = format!("#!/bin/sh\nexec {COMPILER} --sysroot '{}' \"$@\"\n", root.display());
    fs::write(&script, text)
        .and_then(|()| fs::set_permissions(&script, fs::Permissions::from_mode(0o755)))
        .with_context(|| format!("cannot write {}", script.display()))?;
    Ok(script)
}

/// Links everything in a folder into another, instead of what was there under its name.
fn link_all(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let link = to.join(entry.file_name());
        if link.is_symlink() {
            fs::remove_file(&link)?;
        }
        symlink(entry.path(), &link).with_context(|| format!("cannot link {}", link.display()))?;
    }
    Ok(())
}

impl Arch {
    /// Whether it is this machine's.
    fn is_this(self) -> bool {
        self.target().starts_with(env::consts::ARCH)
    }

    /// GNU's name for it, by which its compiler is called.
    fn gnu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-linux-gnu",
            Self::Arm64 => "aarch64-linux-gnu",
        }
    }
}
