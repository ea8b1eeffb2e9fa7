//! Gauges of the host: by sysinfo, and from `/proc` where sysinfo has nothing, or reads a file that
//! in a container tells of the container.
//!
//! What is measured is in parts. Each refreshes at its own interval and tells what it knows in
//! every tick. A part that cannot be read is absent, and the reason is kept for whoever asks.

mod cpu;
mod disk;
mod file;
mod filesystem;
mod load;
mod memory;
mod network;
mod paging;
mod paths;
mod pressure;
mod process;
#[cfg(test)]
pub(crate) mod scratch;
mod temperature;
mod topology;

use std::fmt::{self, Display, Formatter};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;

pub(crate) use self::file::ProcFile;
pub use self::paths::HostPaths;
use crate::kernel::clock;
use crate::metric::MetricDesc;
use crate::sample::{Attributes, Owner, Sample, Value};

/// Why a part of the host cannot be read.
#[derive(Debug, Error)]
pub enum Error {
    /// A file cannot be read.
    #[error(
        "cannot read {path}: {source}; where the host's /proc and /sys are mounted elsewhere, say \
         so with --host-proc and --host-sys"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file has not what it ought to have.
    #[error("{path} has no {what}; check that the host's /proc is mounted there")]
    Format {
        /// The file.
        path: PathBuf,
        /// What it lacks.
        what: &'static str,
    },
    /// The kernel does not account for pressure.
    #[error("cannot read {path}: {source}; boot a kernel that has CONFIG_PSI with psi=1")]
    Pressure {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of `/proc` is not the kernel's.
    #[error(
        "{path} is that of a container, not of the host, as another file is mounted over it; run \
         monitor on the host or in a container without lxcfs"
    )]
    Overlaid {
        /// The file.
        path: &'static str,
    },
    /// No file system of the host is visible.
    #[error(
        "no file system of the host is mounted below {root}; mount the host's root directory there \
         with rslave propagation"
    )]
    NoFilesystem {
        /// Where the host's root directory should be.
        root: PathBuf,
    },
    /// No temperature can be read.
    #[error(
        "neither /sys/class/hwmon nor /sys/class/thermal has a temperature; virtual machines have \
         none, elsewhere load the driver of the sensor"
    )]
    NoSensor,
    /// sysinfo failed.
    #[error("sysinfo failed: {0}; check that /proc and /sys are mounted")]
    Sysinfo(#[from] sysinfo::Error),
}

impl Error {
    /// Whether it only says that there is nothing of the kind here.
    fn is_absence(&self) -> bool {
        matches!(self, Self::NoSensor | Self::Pressure { .. })
    }
}

/// Something of the host that is measured at once.
trait Part: Send {
    /// What it is called.
    fn name(&self) -> &'static str;

    /// How long what was read is good for; zero for not longer than a tick.
    fn interval(&self) -> Duration {
        Duration::ZERO
    }

    /// Reads it.
    fn refresh(&mut self) -> Result<(), Error>;

    /// Tells what was read last.
    fn emit(&self, emit: &mut Emit<'_>);
}

/// Takes the samples of a [`Part`].
struct Emit<'a> {
    sink: &'a mut dyn FnMut(Sample<'_>),
}

impl Emit<'_> {
    fn total(&mut self, metric: &'static MetricDesc, attributes: &Attributes, value: f64) {
        self.sample(metric, attributes, Value::SinceBoot(value));
    }

    fn gauge(&mut self, metric: &'static MetricDesc, attributes: &Attributes, value: f64) {
        self.sample(metric, attributes, Value::Gauge(value));
    }

    fn sample(&mut self, metric: &'static MetricDesc, attributes: &Attributes, value: Value<'_>) {
        (self.sink)(Sample { metric, owner: Owner::Host, attributes, value });
    }
}

/// When the host was booted, by a wall clock that says `now`.
pub fn booted(now: SystemTime) -> SystemTime {
    now.checked_sub(clock::since_boot()).unwrap_or(now)
}

/// The host's gauges.
pub struct Host {
    parts: Vec<Scheduled>,
}

/// A part and when it is due.
struct Scheduled {
    part: Box<dyn Part>,
    due: Instant,
    problem: Option<Error>,
}

/// Something that is not measured.
#[derive(Debug)]
pub struct Problem<'a> {
    /// What it is.
    pub part: &'static str,
    /// Why not.
    pub reason: &'a Error,
}

impl Problem<'_> {
    /// Whether it only says that there is nothing of the kind here.
    pub fn is_absence(&self) -> bool {
        self.reason.is_absence()
    }
}

impl Display for Problem<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} not measured: {}", self.part, self.reason)
    }
}

impl Host {
    /// Everything that can be measured of the host that is seen at `paths`.
    pub fn new(paths: &HostPaths) -> Result<Self, Error> {
        let mut parts: Vec<Box<dyn Part>> = vec![
            Box::new(load::Uptime::new(paths)),
            Box::new(load::Load::new()),
            Box::new(cpu::Cpu::new(paths)),
            Box::new(memory::Memory::new(paths)?),
            Box::new(paging::Paging::new(paths)),
            Box::new(disk::Disks::new(paths)),
            Box::new(topology::Topology::new(paths)),
            Box::new(filesystem::Filesystems::new(paths)?),
            Box::new(network::Networks::new(paths)),
            Box::new(process::Processes::new(paths)),
            Box::new(temperature::Temperatures::new()?),
        ];
        parts.extend(pressure::Pressure::all(paths).map(|part| Box::new(part) as Box<dyn Part>));
        Ok(Self { parts: parts.into_iter().map(Scheduled::new).collect() })
    }

    /// Refreshes what is due and tells everything that is known.
    pub fn collect(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        let mut emit = Emit { sink };
        for scheduled in &mut self.parts {
            scheduled.refresh(Instant::now());
            if scheduled.problem.is_none() {
                scheduled.part.emit(&mut emit);
            }
        }
    }

    /// What is not measured at present.
    pub fn problems(&self) -> impl Iterator<Item = Problem<'_>> {
        self.parts.iter().filter_map(|scheduled| {
            let reason = scheduled.problem.as_ref()?;
            Some(Problem { part: scheduled.part.name(), reason })
        })
    }
}

impl Scheduled {
    fn new(part: Box<dyn Part>) -> Self {
        Self { part, due: Instant::now(), problem: None }
    }

    fn refresh(&mut self, now: Instant) {
        if now < self.due {
            return;
        }
        let problem = self.part.refresh().err();
        match (&self.problem, &problem) {
            (None, Some(reason)) if reason.is_absence() => {
                tracing::info!(part = self.part.name(), "not measured: {reason}");
            }
            (None, Some(reason)) => {
                tracing::warn!(part = self.part.name(), "not measured: {reason}");
            }
            (Some(_), None) => tracing::info!(part = self.part.name(), "measured again"),
            _ => {}
        }
        self.problem = problem;
        self.due = now + self.part.interval();
    }
}

#[cfg(test)]
mod tests;
