//! Page faults and swapping, from `/proc/vmstat`.

use super::file::ProcFile;
use super::{Emit, Error, HostPaths, Part};
use crate::metric;
use crate::sample::Attributes;

pub(super) struct Paging {
    vmstat: ProcFile,
    minor: u64,
    faults: u64,
    major: u64,
    swapped_in: u64,
    swapped_out: u64,
    attributes: [Attributes; 4],
}

impl Paging {
    pub(super) fn new(paths: &HostPaths) -> Self {
        let fault = |kind| Attributes::new([("system.paging.fault.type", kind)]);
        let direction = |direction| Attributes::new([("system.paging.direction", direction)]);
        Self {
            vmstat: ProcFile::new(paths.proc.join("vmstat")),
            minor: 0,
            faults: 0,
            major: 0,
            swapped_in: 0,
            swapped_out: 0,
            attributes: [fault("minor"), fault("major"), direction("in"), direction("out")],
        }
    }
}

impl Part for Paging {
    fn name(&self) -> &'static str {
        "paging"
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let mut found = 0;
        for line in self.vmstat.read()?.lines() {
            let Some((key, value)) = line.split_once(' ') else { continue };
            let field = match key {
                "pgfault" => &mut self.faults,
                "pgmajfault" => &mut self.major,
                "pswpin" => &mut self.swapped_in,
                "pswpout" => &mut self.swapped_out,
                _ => continue,
            };
            if let Ok(value) = value.parse::<u64>() {
                // The sum lacks a CPU for a moment while it goes offline. Nothing sets it back.
                *field = value.max(*field);
                found += 1;
            }
        }
        // Major ones are read later, and some more are among them.
        self.minor = self.minor.max(self.faults.saturating_sub(self.major));
        match found {
            4 => Ok(()),
            _ => Err(self.vmstat.lacks("pgfault, pgmajfault, pswpin and pswpout")),
        }
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        let [minor, major, swapped_in, swapped_out] = &self.attributes;
        emit.total(&metric::SYSTEM_PAGING_FAULTS, minor, self.minor as f64);
        emit.total(&metric::SYSTEM_PAGING_FAULTS, major, self.major as f64);
        emit.total(&metric::SYSTEM_PAGING_OPERATIONS, swapped_in, self.swapped_in as f64);
        emit.total(&metric::SYSTEM_PAGING_OPERATIONS, swapped_out, self.swapped_out as f64);
    }
}
