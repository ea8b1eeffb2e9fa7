//! The metric catalogue: the one table that says which metrics exist.
//!
//! Documentation, `monitor metrics`, exporters and dashboard checks derive from it. Names, units and
//! attributes of `system.*` metrics are those of the OpenTelemetry semantic conventions 1.44.

use std::fmt;

mod agent;
mod block;
mod cgroup;
mod device;
mod export;
mod host;
mod memory;
mod net;
mod process;
mod sched;

pub use agent::*;
pub use block::*;
pub use cgroup::*;
pub use device::*;
pub use export::*;
pub use host::*;
pub use memory::*;
pub use net::*;
pub use process::*;
pub use sched::*;

/// A metric's name, unit, shape and meaning.
pub struct MetricDesc {
    /// OpenTelemetry name.
    pub name: &'static str,
    /// UCUM unit.
    pub unit: &'static str,
    /// Shape.
    pub kind: Kind,
    /// Names of its attributes, without those of its group.
    pub attributes: &'static [&'static str],
    /// One noun phrase of at most [`MAX_HELP`] characters, without a period.
    pub help: &'static str,
    /// Attribution, corner cases and kernel versions, in sentences; for the documentation only.
    pub details: &'static str,
    /// Origin of the number.
    pub source: &'static str,
    /// Whether it ranks groups: time on a CPU and time waiting for a CPU, a disk, a connection, a response or memory. Not
    /// off-CPU time, as threads block that have nothing to do, nor round-trip time, which nobody waits for.
    pub is_cost: bool,
    /// The metric of the host that is the sum of this one over all process groups.
    pub host: Option<&'static Self>,
    /// The metric of process groups that this one is the sum of.
    pub process: Option<&'static Self>,
}

/// Maximum length of [`MetricDesc::help`].
pub const MAX_HELP: usize = 120;

impl MetricDesc {
    /// What most metrics have in common.
    pub(crate) const BASE: Self = Self {
        name: "",
        unit: "",
        kind: Kind::Counter,
        attributes: &[],
        help: "",
        details: "",
        source: "",
        is_cost: false,
        host: None,
        process: None,
    };

    /// The metric of the host that is the sum of this one; does not compile in a constant where there is none.
    pub(crate) const fn of_host(&self) -> &'static Self {
        match self.host {
            Some(host) => host,
            None => panic!("not measured of the host"),
        }
    }
}

impl fmt::Debug for MetricDesc {
    /// The name alone: metrics of processes and of the host refer to each other.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Declares a measurement of process groups and the same of the host, which is the sum of the groups. `$per` says by what
/// the host's series differ.
macro_rules! pair {
    (
        process: $process:ident $process_name:literal [$($process_attribute:literal),*],
        host: $host:ident $host_name:literal [$($host_attribute:literal),*] $per:literal,
        kind: $kind:ident $unit:literal,
        is_cost: $is_cost:literal,
        help: $help:literal,
        details: $details:literal,
        source: $source:expr,
    ) => {
        #[doc = concat!($help, ".")]
        pub static $process: MetricDesc = MetricDesc {
            name: $process_name,
            unit: $unit,
            kind: Kind::$kind,
            attributes: &[$($process_attribute),*],
            help: $help,
            details: $details,
            source: $source,
            is_cost: $is_cost,
            host: Some(&$host),
            ..MetricDesc::BASE
        };
        #[doc = concat!($help, $per, ".")]
        pub static $host: MetricDesc = MetricDesc {
            name: $host_name,
            unit: $unit,
            kind: Kind::$kind,
            attributes: &[$($host_attribute),*],
            help: concat!($help, $per),
            source: $source,
            process: Some(&$process),
            ..MetricDesc::BASE
        };
    };
}
use pair;

/// The shape of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A sum that only grows.
    Counter,
    /// A sum that grows and shrinks.
    UpDownCounter,
    /// A value that cannot be added up.
    Gauge,
    /// An exponential histogram of durations.
    Histogram,
}

/// All metrics, in the order of the documentation.
pub fn catalogue() -> impl Iterator<Item = &'static MetricDesc> {
    let of_probes =
        [SCHED_ALL, BLOCK_ALL, NET_ALL, PROCESS_ALL, MEMORY_ALL, FAULTS_ALL, CGROUP_PROBE_ALL];
    let others = [CGROUP_ALL, HOST_ALL, DEVICE_ALL, AGENT_ALL, EXPORT_ALL];
    of_probes.into_iter().chain(others).flatten().copied()
}

#[cfg(test)]
mod tests {
    use std::ptr;

    use super::*;

    #[test]
    fn help_is_one_short_noun_phrase() {
        for metric in catalogue() {
            let help = metric.help;
            assert!((1..=MAX_HELP).contains(&help.len()), "{metric:?}: {} characters", help.len());
            assert!(!help.contains(". ") && !help.ends_with('.'), "{metric:?}: {help}");
            let is_sentences = metric.details.is_empty() || metric.details.ends_with('.');
            assert!(is_sentences, "{metric:?}: {}", metric.details);
        }
    }

    #[test]
    fn metrics_of_processes_and_of_the_host_refer_to_each_other() {
        let (of_processes, others): (Vec<_>, Vec<_>) =
            catalogue().partition(|metric| metric.name.starts_with("monitor.process."));
        for process in of_processes {
            assert!(process.process.is_none(), "{process:?}");
            let Some(host) = process.host else { continue };
            assert!(host.process.is_some_and(|it| ptr::eq(it, process)), "{process:?}");
            assert_eq!((process.unit, process.kind), (host.unit, host.kind), "{process:?}");
            assert!(catalogue().any(|metric| ptr::eq(metric, host)), "{host:?}");
        }
        assert!(others.iter().all(|metric| metric.host.is_none()));
        // `monitor.process.block.io` is a part of `monitor.block.io`, and so is everything that is named so.
        for metric in others {
            let Some(rest) = metric.name.strip_prefix("monitor.") else { continue };
            let part = catalogue().find(|it| it.name == format!("monitor.process.{rest}"));
            assert!(part.is_none() || metric.process.is_some(), "{metric:?}");
        }
    }
}
