//! Architectures that the daemon is built for.

use clap::ValueEnum;

/// An architecture, by Debian's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit ARM.
    Arm64,
}

impl Arch {
    /// The one that Rust calls so.
    pub(crate) fn of_target(target: &str) -> Result<Self, String> {
        let all = Self::value_variants();
        all.iter().copied().find(|arch| arch.target() == target).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|arch| arch.target()).collect();
            format!("it is none of {}", names.join(", "))
        })
    }

    /// Debian's name.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// Rust's name for it with Linux and glibc.
    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-gnu",
            Self::Arm64 => "aarch64-unknown-linux-gnu",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arch;

    #[test]
    fn targets_name_architectures() {
        assert_eq!(Arch::of_target("aarch64-unknown-linux-gnu"), Ok(Arch::Arm64));
        assert_eq!(Arch::of_target(Arch::Amd64.target()), Ok(Arch::Amd64));
        assert!(Arch::of_target("arm64").unwrap_err().contains(Arch::Arm64.target()));
    }
}
