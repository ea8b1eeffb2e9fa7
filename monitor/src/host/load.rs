//! Load averages and uptime.

use sysinfo::{LoadAvg, System};

use super::file::{ProcFile, not_overlaid};
use super::{Emit, Error, HostPaths, Part};
use crate::kernel::clock;
use crate::metric;
use crate::sample::Attributes;

pub(super) struct Load {
    average: LoadAvg,
}

impl Load {
    pub(super) fn new() -> Self {
        Self { average: LoadAvg { one: 0.0, five: 0.0, fifteen: 0.0 } }
    }
}

impl Part for Load {
    fn name(&self) -> &'static str {
        "load"
    }

    fn refresh(&mut self) -> Result<(), Error> {
        not_overlaid("/proc/loadavg")?;
        self.average = System::load_average()?;
        Ok(())
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        let none = Attributes::default();
        emit.gauge(&metric::HOST_LOAD_1M, &none, self.average.one);
        emit.gauge(&metric::HOST_LOAD_5M, &none, self.average.five);
        emit.gauge(&metric::HOST_LOAD_15M, &none, self.average.fifteen);
    }
}

/// Not by sysinfo, which drops the fraction.
pub(super) struct Uptime {
    file: ProcFile,
    seconds: f64,
}

impl Uptime {
    pub(super) fn new(paths: &HostPaths) -> Self {
        Self { file: ProcFile::new(paths.proc.join("uptime")), seconds: 0.0 }
    }
}

impl Part for Uptime {
    fn name(&self) -> &'static str {
        "uptime"
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let first = self.file.read()?.split(' ').next().and_then(|seconds| seconds.parse().ok());
        let seconds: f64 = first.ok_or_else(|| self.file.lacks("number of seconds"))?;
        self.seconds = seconds - clock::uptime_offset();
        Ok(())
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        emit.gauge(&metric::SYSTEM_UPTIME, &Attributes::default(), self.seconds);
    }
}
