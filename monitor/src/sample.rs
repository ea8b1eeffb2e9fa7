//! Samples: typed, decoded values, and the only type that crosses stages.
//!
//! Probes and the host gauges produce samples, attribution names their owners, the aggregate adds
//! them up. A sample borrows what it can from the snapshot it was decoded from, so that decoding
//! allocates nothing.

use std::{borrow::Cow, sync::Arc};

use monitor_common::key::{COMM_LEN, ProcessKey};

use crate::metric::MetricDesc;

/// One measured value.
#[derive(Clone, Debug)]
pub struct Sample<'a> {
    /// What was measured.
    pub metric: &'static MetricDesc,
    /// Whom it belongs to.
    pub owner: Owner,
    /// What else tells it apart, such as a direction or a device.
    pub attributes: &'a Attributes,
    /// The value, in the unit of the metric; durations of the kernel in nanoseconds.
    pub value: Value<'a>,
}

/// Whom a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The host as a whole.
    Host,
    /// A process.
    Process(Process),
    /// Processes that are no longer known one by one.
    Rest,
}

impl From<&ProcessKey> for Owner {
    fn from(key: &ProcessKey) -> Self {
        Process::from(key).into()
    }
}

impl From<Process> for Owner {
    fn from(process: Process) -> Self {
        if process == Process::from(&ProcessKey::other(0)) {
            Self::Rest
        } else {
            Self::Process(process)
        }
    }
}

/// A process as the kernel names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// Process id in the initial namespace; 0 when the process is gone.
    pub pid: u32,
    /// Command name of the thread-group leader, padded with zeros.
    pub comm: [u8; COMM_LEN],
    /// Id of its cgroup: the inode number of the cgroup's directory.
    pub cgroup_id: u64,
    /// Whether it is a thread of the kernel.
    pub kernel_thread: bool,
}

impl From<&ProcessKey> for Process {
    fn from(key: &ProcessKey) -> Self {
        Self {
            pid: key.tgid,
            comm: key.comm,
            cgroup_id: key.cgroup_id,
            kernel_thread: key.kernel_thread != 0,
        }
    }
}

impl Process {
    /// Its command name, without what pads it.
    pub fn command(&self) -> Cow<'_, str> {
        let end = self.comm.iter().position(|byte| *byte == 0).unwrap_or(COMM_LEN);
        String::from_utf8_lossy(&self.comm[..end])
    }
}

/// A cgroup that was created or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupChange<'a> {
    /// Its id: the inode number of its directory.
    pub id: u64,
    /// Its path from the root of its hierarchy.
    pub path: &'a str,
    /// Which of the two.
    pub what: CgroupEvent,
}

/// What became of a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CgroupEvent {
    /// It was created.
    Created,
    /// It was removed.
    Removed {
        /// The last periods, throttled periods and throttled nanoseconds of its CPU quota, if its
        /// controller was on.
        throttling: Option<[u64; 3]>,
    },
}

/// A measured value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    /// Adds to a counter.
    Increase(u64),
    /// Adds to how much there is of something at the end of the tick, which begins anew in each.
    Level(u64),
    /// A counter's present value, kept by somebody else since the daemon started.
    Total(f64),
    /// A counter's present value, kept by the kernel since the host was booted.
    SinceBoot(f64),
    /// A gauge's present value.
    Gauge(f64),
    /// Adds to a histogram.
    Histogram(Durations<'a>),
    /// Ends all of the host's series of the metric whose attributes begin with the sample's. What they
    /// counted goes to those that begin with these instead.
    Evicted(&'a Attributes),
}

/// Durations of one tick, by bucket.
#[derive(Clone, Copy, Debug)]
pub struct Durations<'a> {
    /// How much coarser than scale 3 the slots are, see [`monitor_common::hist::slot_index`].
    pub shift: u32,
    /// Exact sum in nanoseconds.
    pub sum_ns: u128,
    /// Slots that are not 0, as `(slot, count)`.
    pub slots: &'a [(u16, u32)],
    /// Whether threads that have ended left them behind: the host may have measured them in an earlier tick.
    pub left_behind: bool,
}

/// An immutable, shared set of attributes, in the order given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(Arc<[(&'static str, String)]>);

impl Attributes {
    /// A set of `(name, value)` pairs.
    pub fn new<V: Into<String>>(pairs: impl IntoIterator<Item = (&'static str, V)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name, value.into())).collect())
    }

    /// These attributes, and then `more`.
    pub fn with(&self, more: &Self) -> Self {
        match (self.0.is_empty(), more.0.is_empty()) {
            (true, _) => more.clone(),
            (_, true) => self.clone(),
            _ => Self(self.0.iter().chain(&*more.0).cloned().collect()),
        }
    }

    /// The same with `to` in the place of `from`, if these begin with that.
    pub fn replaced(&self, from: &Self, to: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*from.0)?;
        Some(Self(to.0.iter().chain(rest).cloned().collect()))
    }

    /// The pairs.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}
