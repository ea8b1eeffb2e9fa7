//! The LLVM that the BPF linker is made with. It has to be of the compiler's major version, whose
//! bitcode it reads.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use super::apt;
use crate::command;

/// An installed LLVM with what is needed to link against it.
pub(crate) struct Llvm {
    prefix: PathBuf,
    version: String,
}

impl Llvm {
    /// One of this major version.
    pub(crate) fn find(major: u32) -> Option<Self> {
        let candidates = [
            format!("llvm-config-{major}"),
            format!("/usr/lib/llvm-{major}/bin/llvm-config"),
            format!("/usr/lib/llvm{major}/bin/llvm-config"),
            "llvm-config".into(),
        ];
        candidates.iter().find_map(|config| {
            let ask = |what| command::output(Command::new(config).arg(what)).ok();
            let version = ask("--version")?;
            let llvm = Self { prefix: ask("--prefix")?.into(), version };
            let complete = Path::new(&ask("--includedir")?).join("llvm-c").exists()
                && llvm.tool("llvm-strip").exists();
            (complete && llvm.version.split('.').next() == Some(&major.to_string())).then_some(llvm)
        })
    }

    /// One of its programs.
    pub(crate) fn tool(&self, name: &str) -> PathBuf {
        self.prefix.join("bin").join(name)
    }

    /// Variables that make the build of the linker take this one.
    pub(crate) fn variables(&self) -> [(&'static str, OsString); 2] {
        let mut path = self.prefix.join("bin").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        [("LLVM_PREFIX", self.prefix.clone().into()), ("PATH", path)]
    }
}

impl fmt::Display for Llvm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LLVM {}: {}", self.version, self.prefix.display())
    }
}

/// Installs it.
pub(crate) fn install(major: u32) -> Result<()> {
    if !apt::is_present() {
        bail!(
            "install the development files of LLVM {major}, llvm-config and llvm-strip included (a \
             package such as llvm-{major}-dev, llvm{major}-dev or llvm{major}-devel), and those of \
             libffi, libxml2, libzstd and zlib; then llvm-config-{major} or an llvm-config of \
             version {major} has to be in PATH"
        );
    }
    let llvm = format!("llvm-{major}-dev");
    apt::install(&[&llvm, "libffi-dev", "libxml2-dev", "libzstd-dev", "zlib1g-dev"])
}
