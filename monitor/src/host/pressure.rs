//! Pressure stall information, from `/proc/pressure`.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use super::file::ProcFile;
use super::{Emit, Error, HostPaths, Part};
use crate::metric;
use crate::sample::Attributes;

/// The pressure on one resource.
pub(super) struct Pressure {
    name: &'static str,
    /// A file that every `/proc` of a host has.
    witness: PathBuf,
    file: ProcFile,
    stalls: Vec<Stall>,
}

struct Stall {
    kind: &'static str,
    seconds: f64,
    attributes: Attributes,
}

impl Pressure {
    /// Of all resources that this kernel can tell the pressure on.
    pub(super) fn all(paths: &HostPaths) -> impl Iterator<Item = Self> {
        let directory = paths.proc.join("pressure");
        let witness = paths.proc.join("stat");
        // For the host as a whole, "full" means nothing for CPUs: the kernel writes zeros.
        let resources: [(_, _, &[_]); 4] = [
            ("pressure.cpu", "cpu", &["some"]),
            ("pressure.io", "io", &["some", "full"]),
            ("pressure.memory", "memory", &["some", "full"]),
            ("pressure.irq", "irq", &["full"]),
        ];
        resources.into_iter().filter_map(move |(name, resource, kinds)| {
            let path = directory.join(resource);
            // Few kernels are built to account for interrupts.
            if resource == "irq" && !path.exists() {
                return None;
            }
            let stalls = kinds.iter().map(|kind| Stall {
                kind,
                seconds: 0.0,
                attributes: Attributes::new([
                    ("monitor.pressure.resource", resource),
                    ("monitor.pressure.stall_type", kind),
                ]),
            });
            Some(Self {
                name,
                witness: witness.clone(),
                file: ProcFile::new(path),
                stalls: stalls.collect(),
            })
        })
    }
}

impl Part for Pressure {
    fn name(&self) -> &'static str {
        self.name
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let text = self.file.read().map_err(|error| match error {
            Error::Read { path, source } if is_unknown(&source) && self.witness.exists() => {
                Error::Pressure { path, source }
            }
            other => other,
        })?;
        let mut found = 0;
        for line in text.lines() {
            let stall = self.stalls.iter_mut().find(|stall| line.starts_with(stall.kind));
            let total = line.rsplit_once("total=").and_then(|(_, us)| us.parse::<u64>().ok());
            if let (Some(stall), Some(us)) = (stall, total) {
                stall.seconds = us as f64 / 1e6;
                found += 1;
            }
        }
        match found == self.stalls.len() {
            true => Ok(()),
            false => Err(self.file.lacks("line with a total for each kind of stall")),
        }
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        for stall in &self.stalls {
            emit.total(&metric::HOST_PRESSURE_TIME, &stall.attributes, stall.seconds);
        }
    }
}

/// Whether a kernel that does not account for pressure answers so.
fn is_unknown(error: &io::Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(libc::EOPNOTSUPP)
}

#[cfg(test)]
mod tests;
