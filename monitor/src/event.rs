//! Events: single things that happened to a process, as far as they are worth telling one by one.
//!
//! Probes make them beside their samples; the daemon hides what is secret in them and hands them on.

mod mask;

use std::time::{Duration, SystemTime};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use crate::{
    kernel::clock,
    metric::MetricDesc,
    sample::{Attributes, Process},
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub time: SystemTime,
    /// To whom.
    pub process: Process,
    /// Process id of its parent, where it is told.
    pub parent: Option<u32>,
    /// What.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// It made another process.
    Fork {
        /// Process id of the new one.
        child: u32,
    },
    /// It executed a program, which it is named after now.
    Exec {
        /// With these arguments; `None` when they could not be read, or are not to be told.
        argv: Option<Argv>,
    },
    /// Its last thread ended.
    Exit {
        /// How.
        ending: Ending,
        /// How long after it was made.
        lifetime: Duration,
        /// Peak of its resident set, as `getrusage` reports it.
        peak_rss_bytes: u64,
    },
    /// An OOM kill.
    OomKill(OomKill),
    /// It waited for longer than is usual.
    Slow(Slow),
}

impl What {
    /// Of what kind it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Fork { .. } => Kind::Fork,
            Self::Exec { .. } => Kind::Exec,
            Self::Exit { .. } => Kind::Exit,
            Self::OomKill(_) => Kind::OomKill,
            Self::Slow(_) => Kind::Slow,
        }
    }

    /// Short description for the log.
    pub fn text(&self) -> &'static str {
        match self {
            Self::Fork { .. } => "process forked",
            Self::Exec { .. } => "program executed",
            Self::Exit { .. } => "process exited",
            Self::OomKill(_) => "OOM kill",
            Self::Slow(_) => "slow latency",
        }
    }
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum Kind {
    /// A process was made.
    Fork,
    /// A program was executed.
    Exec,
    /// A process ended.
    Exit,
    /// An OOM kill.
    OomKill,
    /// A process waited long.
    Slow,
}

impl Kind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fork => "process.fork",
            Self::Exec => "process.exec",
            Self::Exit => "process.exit",
            Self::OomKill => "process.oom_kill",
            Self::Slow => "process.slow",
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this code.
    Code(u8),
    /// By a signal.
    Signal {
        /// Its number.
        number: u8,
        /// Whether it left its memory in a file.
        core_dumped: bool,
    },
}

/// An OOM victim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OomKill {
    /// Id of its cgroup of the memory controller.
    pub memory_cgroup_id: u64,
    /// Name of that cgroup, without those it lies in; empty when unknown.
    pub memory_cgroup: String,
    /// What it had, where the kernel tells.
    pub sizes: Option<Sizes>,
}

/// A latency that was as long as its probe's threshold, or longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slow {
    /// How long.
    pub latency: Duration,
    /// Which thread waited, where that is known.
    pub tid: Option<u32>,
    /// What it is one of.
    pub among: Among,
}

/// What a latency is one of: the series that count it, and what they may not tell by a name of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Among {
    /// What was waited for.
    pub subject: Attributes,
    /// The series of the process's group.
    pub group: SeriesKey,
    /// The series of the host.
    pub host: SeriesKey,
}

impl Among {
    /// Where the series of a group and that of the host have the attributes of what was waited for.
    pub fn alike(attributes: &Attributes, [group, host]: [&'static MetricDesc; 2]) -> Self {
        let key = |metric| SeriesKey { metric, attributes: attributes.clone() };
        Self { subject: attributes.clone(), group: key(group), host: key(host) }
    }
}

/// What tells a series of a host, or of a group, apart from its others.
#[derive(Clone, Debug)]
pub struct SeriesKey {
    /// What it measures.
    pub metric: &'static MetricDesc,
    /// Its samples' attributes.
    pub attributes: Attributes,
}

impl PartialEq for SeriesKey {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.metric, other.metric) && self.attributes == other.attributes
    }
}

impl Eq for SeriesKey {}

/// What a victim had. What single CPUs have counted and not added up yet is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Its address space.
    pub virtual_bytes: u64,
    /// Its anonymous memory.
    pub anonymous_bytes: u64,
    /// Its memory that is in files.
    pub file_bytes: u64,
    /// Its shared memory.
    pub shared_bytes: u64,
    /// What of it was swapped out.
    pub swapped_bytes: u64,
}

/// The arguments of a program, its name first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Argv {
    /// As far as they were read.
    pub words: Vec<String>,
    /// Whether there are more, or the last one is longer.
    pub is_cut: bool,
}

/// What is told of a program's arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum ArgvPolicy {
    /// Nothing.
    Off,
    /// All but what looks like a secret.
    #[default]
    Masked,
    /// All.
    Full,
}

impl ArgvPolicy {
    /// Takes out of an event what is not to be told.
    pub fn apply(self, event: &mut Event) {
        let What::Exec { argv } = &mut event.what else { return };
        match self {
            Self::Off => *argv = None,
            Self::Masked => argv.iter_mut().for_each(Argv::mask),
            Self::Full => {}
        }
    }
}

impl Argv {
    /// From arguments that each end with a zero; `total` is how many bytes there would be.
    pub fn new(bytes: &[u8], total: usize) -> Self {
        let end = bytes.strip_suffix(b"\0").unwrap_or(bytes);
        let words = end.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into());
        Self { words: words.collect(), is_cut: total > bytes.len() }
    }

    /// Replaces what looks like a secret by `***`: the values of options and variables whose names say
    /// so, and passwords in addresses. It rather hides too much than too little; a secret that nothing
    /// gives away as one stays.
    pub fn mask(&mut self) {
        mask::mask(&mut self.words);
    }
}

impl Ending {
    /// From a status as `wait` returns it.
    pub fn from_status(status: u32) -> Self {
        match (status & 0x7f) as u8 {
            0 => Self::Code((status >> 8) as u8),
            number => Self::Signal { number, core_dumped: status & 0x80 != 0 },
        }
    }
}

/// One moment by two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// By the clock of the wall.
    pub wall: SystemTime,
    /// By the one that kernel programs read.
    pub monotonic_ns: u64,
}

impl Clock {
    /// The present.
    pub fn now() -> Self {
        Self { wall: SystemTime::now(), monotonic_ns: clock::monotonic_ns() }
    }

    /// When it was that much of the kernel's clock.
    pub fn at(&self, monotonic_ns: u64) -> SystemTime {
        let ago = Duration::from_nanos(self.monotonic_ns.saturating_sub(monotonic_ns));
        let ahead = Duration::from_nanos(monotonic_ns.saturating_sub(self.monotonic_ns));
        self.wall.checked_sub(ago).unwrap_or(self.wall) + ahead
    }
}

/// The name of a signal.
pub fn signal_name(number: u8) -> String {
    const NAMES: [&str; 32] = [
        "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV",
        "USR2", "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU",
        "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
    ];
    match NAMES.get(usize::from(number)) {
        Some(name) => format!("SIG{name}"),
        None => format!("SIG{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_end_with_zeros() {
        let argv = Argv::new(b"ls\0-l\0\0", 7);
        assert_eq!(argv, Argv { words: ["ls", "-l", ""].map(str::to_owned).into(), is_cut: false });
        let cut = Argv::new(b"ls\0lon", 100);
        assert_eq!(cut, Argv { words: ["ls", "lon"].map(str::to_owned).into(), is_cut: true });
    }

    #[test]
    fn statuses_are_those_of_wait() {
        assert_eq!(Ending::from_status(0), Ending::Code(0));
        assert_eq!(Ending::from_status(0xff00), Ending::Code(255));
        assert_eq!(Ending::from_status(9), Ending::Signal { number: 9, core_dumped: false });
        assert_eq!(Ending::from_status(0x8b), Ending::Signal { number: 11, core_dumped: true });
        assert_eq!(
            [1, 9, 15, 31, 34].map(signal_name),
            ["SIGHUP", "SIGKILL", "SIGTERM", "SIGSYS", "SIG34"]
        );
    }

    #[test]
    fn clocks_go_both_ways() {
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let clock = Clock { wall, monotonic_ns: 5_000_000_000 };
        assert_eq!(clock.at(4_000_000_000), wall - Duration::from_secs(1));
        assert_eq!(clock.at(6_000_000_000), wall + Duration::from_secs(1));
    }

    #[test]
    fn policies_decide_what_is_told() {
        let told = |policy: ArgvPolicy| {
            let mut event = Event {
                time: SystemTime::UNIX_EPOCH,
                process: Process { pid: 1, comm: [0; 16], cgroup_id: 0, kernel_thread: false },
                parent: None,
                what: What::Exec { argv: Some(Argv::new(b"a\0--token=x\0", 12)) },
            };
            policy.apply(&mut event);
            match event.what {
                What::Exec { argv } => argv.map(|argv| argv.words.join(" ")),
                _ => panic!("it changed"),
            }
        };
        assert_eq!(told(ArgvPolicy::Off), None);
        assert_eq!(told(ArgvPolicy::Masked).as_deref(), Some("a --token=***"));
        assert_eq!(told(ArgvPolicy::Full).as_deref(), Some("a --token=x"));
    }
}
