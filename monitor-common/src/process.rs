//! Maps of the `process` probe.

use crate::named::named;

/// Signals, of which 0 is none.
pub const SIGNALS: usize = 65;

/// What processes of one command in one cgroup did since the last flip. Which process it was is said
/// by events: the key has no process id.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// Processes that were created.
    pub forks: u64,
    /// Threads that were created in processes that had one already.
    pub threads: u64,
    /// Programs that were executed.
    pub execs: u64,
    /// Processes that ended by themselves with a code other than 0.
    pub failed: u64,
    /// Processes that ended by a signal; in place 0 those that ended by themselves with code 0.
    pub ended: [u64; SIGNALS],
}

impl Counts {
    /// Nothing happened.
    pub const EMPTY: Self = Self { forks: 0, threads: 0, execs: 0, failed: 0, ended: [0; SIGNALS] };
}

named! {
    /// Why something was not counted, or not where it belongs, or not told as an event.
    /// The names are the values of the attribute `monitor.loss.reason`.
    pub enum Loss {
        /// The table was full, so it was counted for `(other)`.
        TableFull = "table_full",
        /// The ring buffer was full, so an event was not sent.
        RingFull = "ring_full",
        /// The arguments of a program could not be read.
        ArgvUnread = "argv_unread",
        /// A status that no process can end with.
        Implausible = "implausible",
    }
}

/// What two programs at one tracepoint count, see `monitor-ebpf/src/pair.rs`.
#[derive(Clone, Copy, Debug)]
pub enum Pair {
    /// Processes and threads that are made.
    Fork,
    /// Programs that are executed.
    Exec,
    /// Threads that end.
    Exit,
}

/// Number of pairs.
pub const PAIRS: usize = 3;

/// What was lost in one bank, by [`Loss`]; and behind that, by [`Pair`], how many events second programs
/// recovered, less those that first ones left to them, modulo 2^64.
pub type Losses = [u64; Loss::COUNT + PAIRS];

crate::pod!(Counts);

const _: () = assert!(size_of::<Counts>() == 8 * (4 + SIGNALS));
