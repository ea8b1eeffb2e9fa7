//! The compiler for the BPF target.

use std::{
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::{LINKER_LLVM, apt};
use crate::command;

/// BPF on a little-endian machine.
pub(crate) const BPF_TARGET: &str = "bpfel-unknown-none";

/// Debian's: its standard library for BPF comes compiled.
const PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev-bpf", "rust-web-clippy"];
const SYSTEM: &str = "/usr/bin";
/// Elsewhere: a nightly that compiles `core` itself, with an LLVM of [`LINKER_LLVM`].
const NIGHTLY: &str = "nightly-2026-05-20";

/// A compiler that can make BPF programs.
pub(crate) struct Compiler {
    origin: Origin,
    release: String,
    llvm: u32,
}

#[derive(Clone, Copy)]
enum Origin {
    System,
    Nightly,
}

impl Compiler {
    /// The system's, or else the nightly.
    pub(crate) fn find() -> Option<Self> {
        Self::inspect(Origin::System).or_else(|| Self::inspect(Origin::Nightly))
    }

    /// Major version of the LLVM in it.
    pub(crate) fn llvm(&self) -> u32 {
        self.llvm
    }

    /// `cargo SUBCOMMAND` with this compiler; `core` included.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        match self.origin {
            Origin::System => {
                // cargo-clippy looks for its compiler in its own folder, so it has to be the system's.
                let mut cargo = command::cargo(subcommand);
                if subcommand == "clippy" {
                    cargo = Command::new(Path::new(SYSTEM).join("cargo-clippy"));
                    cargo.arg(subcommand);
                }
                cargo.env("RUSTC", Path::new(SYSTEM).join("rustc"));
                // BPF programs use unstable features, which a released compiler refuses otherwise.
                cargo.env("RUSTC_BOOTSTRAP", "1");
                cargo
            }
            Origin::Nightly => {
                let mut cargo = Command::new("rustup");
                cargo.args(["run", NIGHTLY, "cargo", subcommand, "-Z", "build-std=core"]);
                cargo
            }
        }
    }

    /// The compiler from there, if it is complete, new enough and made with an LLVM that the linker
    /// can be made with.
    fn inspect(origin: Origin) -> Option<Self> {
        let about = command::output(rustc(origin).arg("-vV")).ok()?;
        let field = |name| about.lines().find_map(|line| line.strip_prefix(name));
        let release = field("release: ")?;
        let llvm = linkable(field("LLVM version: ")?)?;
        let compiler = Self { origin, release: release.to_owned(), llvm };
        (is_new_enough(release) && parts(origin)?.iter().all(|part| part.exists()))
            .then_some(compiler)
    }
}

impl fmt::Display for Compiler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = match self.origin {
            Origin::System => SYSTEM,
            Origin::Nightly => NIGHTLY,
        };
        write!(f, "rustc {} with LLVM {} ({origin})", self.release, self.llvm)
    }
}

/// Installs Debian's compiler where it is recent enough, else the nightly.
pub(crate) fn install() -> Result<()> {
    if apt::is_present() {
        match apt::candidate(PACKAGES[0])? {
            Some(version) if is_new_enough(&version) => {
                apt::install(&PACKAGES)?;
                if Compiler::inspect(Origin::System).is_some() {
                    return Ok(());
                }
                println!("{} {version} has an LLVM that is not of {LINKER_LLVM:?}", PACKAGES[0]);
            }
            Some(version) => println!("{} is too old: {version}", PACKAGES[0]),
            None => println!("there is no package {}", PACKAGES[0]),
        }
    }
    if command::find("rustup").is_none() {
        bail!("neither a distribution's package nor rustup is to be had; install rustup");
    }
    println!("installing {NIGHTLY} with rust-src by rustup");
    let options = ["--profile", "minimal", "--component", "clippy,rust-src", "--no-self-update"];
    command::run(Command::new("rustup").args(["toolchain", "install", NIGHTLY]).args(options))
        .with_context(|| {
            format!("run: rustup toolchain install {NIGHTLY} --component clippy,rust-src")
        })
}

fn rustc(origin: Origin) -> Command {
    match origin {
        Origin::System => Command::new(Path::new(SYSTEM).join("rustc")),
        Origin::Nightly => {
            let mut rustc = Command::new("rustup");
            rustc.args(["run", NIGHTLY, "rustc"]);
            rustc
        }
    }
}

/// What has to be there besides the compiler itself.
fn parts(origin: Origin) -> Option<[PathBuf; 2]> {
    let sysroot = command::output(rustc(origin).args(["--print", "sysroot"])).ok()?;
    let sysroot = Path::new(&sysroot);
    Some(match origin {
        Origin::System => {
            [sysroot.join("lib/rustlib").join(BPF_TARGET), Path::new(SYSTEM).join("clippy-driver")]
        }
        Origin::Nightly => {
            [sysroot.join("lib/rustlib/src/rust/library/core"), sysroot.join("bin/clippy-driver")]
        }
    })
}

/// Whether a version is at least the one that the workspace asks for.
fn is_new_enough(version: &str) -> bool {
    numbers(version) >= numbers(env!("CARGO_PKG_RUST_VERSION"))
}

/// The major version of an LLVM, if the linker can be made with it.
fn linkable(version: &str) -> Option<u32> {
    let major = version.split('.').next()?.parse().ok()?;
    LINKER_LLVM.contains(&major).then_some(major)
}

/// The first two numbers of a version.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{is_new_enough, linkable};

    #[test]
    fn versions_are_compared_by_number() {
        for version in ["1.95.0", "1.96.0+dfsg1-1~deb12u2", "1.100.0-nightly", "2.0.0"] {
            assert!(is_new_enough(version), "{version}");
        }
        for version in ["1.85.0+dfsg3-1~deb12u3", "1.9.0", "(none)", ""] {
            assert!(!is_new_enough(version), "{version}");
        }
    }

    #[test]
    fn only_an_llvm_that_the_linker_knows_will_do() {
        assert_eq!(["21.1.8", "22.0", "23"].map(linkable), [21, 22, 23].map(Some));
        assert_eq!(["20.1.8", "24.0.0", "next", ""].map(linkable), [None; 4]);
    }
}
