//! Maps of the `block` probe.

use core::mem::offset_of;

use crate::{
    hist::FINE_SLOTS,
    key::{COMM_LEN, ProcessKey},
    named::named,
};

named! {
    /// What a request does.
    /// The names are the values of the attribute `disk.io.direction`.
    pub enum Operation {
        /// Reads.
        Read = "read",
        /// Writes; zeroing and commands to zones too, as in the kernel's own counters.
        Write = "write",
        /// Only empties the device's cache.
        Flush = "flush",
        /// Discards.
        Discard = "discard",
    }
}

/// Whose requests an entry counts, and which.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Key {
    /// Id of the cgroup.
    pub cgroup_id: u64,
    /// Command name of the thread-group leader.
    pub comm: [u8; COMM_LEN],
    /// Process id.
    pub tgid: u32,
    /// 1 for threads of the kernel.
    pub kernel_thread: u16,
    /// [`Operation`].
    pub operation: u16,
    /// The whole disk, see [`device`].
    pub device: u32,
    /// What this is worth: one of the constants below.
    pub state: u32,
}

/// State of an entry that nobody has.
pub const FREE: u32 = 0;
/// State of a key that is one.
pub const READY: u32 = 1;
/// State of an entry whose key is just being written.
pub const CLAIMED: u32 = 2;

impl Key {
    /// Requests of nobody known.
    pub const fn other(device: u32, operation: u16) -> Self {
        let ProcessKey { cgroup_id, comm, tgid, .. } = ProcessKey::other(0);
        Self { cgroup_id, comm, tgid, kernel_thread: 0, operation, device, state: READY }
    }

    /// Whose they are.
    pub const fn process(&self) -> ProcessKey {
        let Self { cgroup_id, comm, tgid, kernel_thread, .. } = *self;
        ProcessKey { cgroup_id, comm, tgid, bank: 0, kernel_thread }
    }
}

/// A device number as the kernel's `dev_t` has it.
pub const fn device(major: u32, minor: u32) -> u32 {
    major << MINOR_BITS | minor
}

/// Its major and minor number.
pub const fn major_minor(device: u32) -> (u32, u32) {
    (device >> MINOR_BITS, device & ((1 << MINOR_BITS) - 1))
}

const MINOR_BITS: u32 = 20;

/// A slot for a request that has been made and has not ended.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    /// Address of the request that has the slot, or of its bio; 0 when free.
    pub request: u64,
    /// Whose it is, and what it does.
    pub key: Key,
    /// When it was made, in monotonic nanoseconds.
    pub started: u64,
    /// When it was last issued as far as programs noted it, in monotonic nanoseconds; else 0. The
    /// kernel's own timestamp is later where the request was issued again since.
    pub issued: u64,
}

/// Places for requests, a power of two.
pub const PENDING: usize = 1 << 14;

/// Number of latencies that are measured. What there is of each comes in arrays with their places.
pub const LATENCIES: usize = 2;
/// The place of queue latency: from start to issue.
pub const QUEUE: usize = 0;
/// The place of device latency: from issue to completion.
pub const DEVICE: usize = 1;

/// In place of an [`Operation`]: a command that only the driver understands. It has no latencies and
/// moves no bytes that are counted.
pub const PASSTHROUGH: u16 = Operation::COUNT as u16;

/// What was counted for one key in one bank.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Whose it is.
    pub key: Key,
    /// Operations that have no latencies.
    pub untimed: u64,
    /// Bytes moved or discarded.
    pub bytes: u64,
    /// Operations that failed.
    pub errors: u64,
    /// Exact sums of the latencies, in nanoseconds.
    pub sums: [u64; LATENCIES],
    /// Latencies by slot at scale 3, see [`crate::hist::slot`]. An operation with latencies has both, but
    /// one that did not wait in its queue is only among those of the device, as that costs less: slot 0
    /// of the queue follows from there.
    pub slots: [[u32; FINE_SLOTS]; LATENCIES],
    /// The verifier cannot tell that the last pair of slots is not followed by another half.
    pub unused: u64,
}

/// Entries for keys of processes in one bank, a power of two.
pub const PROCESS_ENTRIES: usize = 512;
/// Entries for keys of nobody known, a power of two; they come after the others.
pub const OTHER_ENTRIES: usize = 64;
/// Entries of one bank.
pub const ENTRIES: usize = PROCESS_ENTRIES + OTHER_ENTRIES;
/// How many entries a key may be in, one after the other from where its hash says.
pub const TRIES: usize = 16;

/// Which entries of a bank are in use: bit `n % 64` of word `n / 64`.
pub type Used = [u64; ENTRIES / 64];

/// The last flush of a queue to the hardware that has ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Flush {
    /// When it was issued, in monotonic nanoseconds.
    pub issued: u64,
    /// The same, and the lower half of the queue's address, by exclusive or: of a place that two queues
    /// write to at the same time no queue takes the other's.
    pub check: u64,
}

/// Places for flushes, a power of two.
pub const FLUSHES: usize = 1 << 12;

named! {
    /// Why something was not recorded, or not recorded where it belongs.
    /// The names are the values of the attribute `monitor.loss.reason`.
    pub enum Loss {
        /// A request ended whose start was not seen, so it was added to `(other)`, without latencies.
        Unmatched = "unmatched",
        /// The kernel did not note when a request was made, so it has no latencies.
        NoStartTime = "no_start_time",
        /// It was not noted when a request was issued, so it has no latencies.
        NoIssueTime = "no_issue_time",
        /// A latency was negative, or longer than [`crate::hist::MAX_NS`], so the request has none.
        Implausible = "implausible",
        /// The table was full, so a request was added to `(other)`.
        TableFull = "table_full",
        /// The table was full even for `(other)`, so a request was not recorded at all.
        OtherFull = "other_full",
        /// There was no room to tell of a slow request.
        RingFull = "ring_full",
    }
}

/// What was lost in one bank, by [`Loss`].
pub type Losses = [u64; Loss::COUNT];

impl Entry {
    /// Nobody's.
    pub const EMPTY: Self = Self {
        key: Key {
            cgroup_id: 0,
            comm: [0; COMM_LEN],
            tgid: 0,
            kernel_thread: 0,
            operation: 0,
            device: 0,
            state: FREE,
        },
        untimed: 0,
        bytes: 0,
        errors: 0,
        sums: [0; LATENCIES],
        slots: [[0; FINE_SLOTS]; LATENCIES],
        unused: 0,
    };
}

/// What a slow request was about.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Subject {
    /// The whole disk, see [`device`].
    pub device: u32,
    /// [`Operation`].
    pub operation: u32,
}

crate::pod!(Entry, Subject);

const _: () = assert!(size_of::<Subject>() == 8);
const _: () = assert!(size_of::<Key>() == 40);
const _: () = assert!(offset_of!(Key, state) == 36);
const _: () = assert!(size_of::<Pending>() == 64);
const _: () = assert!(size_of::<Entry>() == 40 + 24 + 16 + 8 * FINE_SLOTS + 8);
const _: () = assert!(size_of::<Entry>().is_multiple_of(8));
const _: () = assert!(OTHER_ENTRIES >= TRIES && ENTRIES.is_multiple_of(64));
