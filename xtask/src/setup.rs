//! Finds what the build and the tests need, and installs what is missing.
//!
//! The BPF programs need a compiler whose `core` is built, or can be built, for the BPF target, and a
//! linker made with the same LLVM. Debian has such a compiler in its packages; elsewhere it is a
//! nightly. The daemon itself takes neither, only the stable toolchain of `rust-toolchain.toml`.

pub(crate) mod apt;
mod backends;
mod cargo_tool;
mod compiler;
mod cross;
mod go_tool;
mod llvm;
mod moto;
pub(crate) mod suite;
mod tools;

use std::{fmt, ops::RangeInclusive, path::PathBuf, process::Command};

use anyhow::{Context, Result};

use self::{cargo_tool::CargoTool, compiler::Compiler, llvm::Llvm};
use crate::workspace;

pub(crate) use self::{
    backends::ensure_all as backends, compiler::BPF_TARGET, cross::cargo_for, tools::emulator,
    tools::ensure as test_tools, tools::ensure_load as bench_tools,
    tools::ensure_unit as unit_test_tools, tools::host_tools,
};

/// The release of bpf-linker that objects are made with.
const LINKER_VERSION: &str = "0.13.0";
/// The LLVMs that it can be made with.
const LINKER_LLVM: RangeInclusive<u32> = 21..=23;
/// The release of cargo-deny that checks dependencies.
const DENY_VERSION: &str = "0.20.2";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Also what tests and measurements need
    #[arg(long)]
    tests: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    println!("{}", toolchain()?);
    if args.tests {
        for (tool, path) in test_tools()?.into_iter().chain(backends()?) {
            println!("{tool}: {}", path.display());
        }
    }
    Ok(())
}

/// What compiles and links the BPF programs.
pub(crate) struct Toolchain {
    compiler: Compiler,
    llvm: Llvm,
    linker: PathBuf,
}

/// The toolchain for the BPF programs; whatever is missing of it is installed.
pub(crate) fn toolchain() -> Result<Toolchain> {
    let compiler = ensure("Rust compiler for BPF", Compiler::find, compiler::install)?;
    let major = compiler.llvm();
    let llvm = ensure(
        &format!("LLVM {major} for the BPF linker"),
        || Llvm::find(major),
        || llvm::install(major),
    )?;
    let linker = CargoTool {
        name: "bpf-linker",
        version: LINKER_VERSION,
        features: Some(format!("llvm-{major}")),
    };
    let linker =
        ensure(&linker.to_string(), || linker.find(), || linker.install(llvm.variables()))?;
    Ok(Toolchain { compiler, llvm, linker })
}

/// `cargo-deny`.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    let deny = CargoTool { name: "cargo-deny", version: DENY_VERSION, features: None };
    ensure(&deny.to_string(), || deny.find(), || deny.install([]))
}

/// Finds a thing, after installing it if need be.
fn ensure<T>(
    what: &str,
    find: impl Fn() -> Option<T>,
    install: impl FnOnce() -> Result<()>,
) -> Result<T> {
    if let Some(found) = find() {
        return Ok(found);
    }
    println!("{what}: not found, installing");
    install().with_context(|| format!("cannot install {what}"))?;
    find().with_context(|| format!("{what} was installed and still is not found"))
}

impl Toolchain {
    /// `cargo SUBCOMMAND` for the BPF programs.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let linker = format!("linker={}", self.linker.display());
        let flags = ["-C", &linker, "-C", "link-arg=--btf", "-C", "debuginfo=2"];
        let mut cargo = self.compiler.cargo(subcommand);
        cargo
            .current_dir(workspace::root())
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"))
            .args(["--package", "monitor-ebpf", "--release", "--target", BPF_TARGET])
            .arg("--target-dir")
            .arg(self.target_dir());
        cargo
    }

    /// Apart from the daemon's: another compiler works here.
    pub(crate) fn target_dir(&self) -> PathBuf {
        workspace::root().join("target/ebpf")
    }

    /// `llvm-strip`, which knows BPF objects.
    pub(crate) fn strip(&self) -> PathBuf {
        self.llvm.tool("llvm-strip")
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Rust compiler for BPF: {}", self.compiler)?;
        writeln!(f, "{}", self.llvm)?;
        write!(f, "bpf-linker {LINKER_VERSION}: {}", self.linker.display())
    }
}
