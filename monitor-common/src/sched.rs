//! Maps of the `sched` probe.

use core::mem::offset_of;

use crate::{
    hist::{COARSE_SLOTS, FINE_SLOTS},
    key::{BANKS, ProcessKey},
    named::named,
    stall::ProcessStalls,
};

/// Pairs of slots in a thread's histogram; each has a bit in the mask.
pub const PAIRS: usize = COARSE_SLOTS / 2;

/// What userspace tells the programs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    /// The bank that programs write to, 0 or 1; [`NO_BANK`](crate::key::NO_BANK) until they shall record latencies.
    pub bank: u64,
    /// Threads that the pass met since the bank was set.
    pub threads: u64,
    /// Those among them that have no storage, as there was no memory for it at that moment.
    pub without_storage: u64,
    /// A process with a thread that had no storage; 0 is none.
    pub suspect: u64,
    /// Threads of that process that the pass met since the bank was set.
    pub suspects_met: u64,
    /// A process that no pass meets, so that its switches are no losses; 0 is none.
    pub unvisited: u64,
}

/// When a thread last left a CPU or was made runnable; 0 is "not seen". Monotonic nanoseconds.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Stamps {
    /// When it left its CPU to wait for something other than a CPU.
    pub out: u64,
    /// When it began to wait for a CPU; with [`THROTTLE_NOTED`] where a quota may throttle it meanwhile.
    pub wake: u64,
}

/// In [`Stamps::wake`]: [`TaskStats`] has the throttled time of the thread's run queue at the beginning of
/// the wait. Monotonic time does not get that far.
pub const THROTTLE_NOTED: u64 = 1 << 63;

/// A thread's place in the direct-mapped array of stamps.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct StampSlot {
    /// The stamps of the owner.
    pub stamps: Stamps,
    /// Address of the `task_struct` that owns the slot, 0 when free. A pid would not do: it may be in
    /// use again before the last owner is gone.
    pub owner: u64,
    /// Since when the owner was blocked when a pass last reported all it had done: while it still is,
    /// the next goes over it without looking for its storage. 0 for not known.
    pub reported: u64,
}

/// Number of latencies that are measured of each thread. What there is of each comes in arrays with their
/// places.
pub const LATENCIES: usize = 2;
/// The place of run-queue latency: waiting for a CPU.
pub const RUNQUEUE: usize = 0;
/// The place of off-CPU latency: blocked.
pub const OFFCPU: usize = 1;
/// Number of latencies that are measured of the host: those of threads, and what few threads have and what
/// is kept by process therefore.
pub const HOST_LATENCIES: usize = 3;
/// The place of throttled latency: the part of a wait for a CPU in which a quota was used up.
pub const THROTTLED: usize = 2;

/// What is kept by process.
pub type ProcessThrottled = ProcessStalls<1>;

/// What a thread's histogram holds beside its slots. Bit `n` of the mask is set when slot `2n` or
/// `2n + 1` is not 0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Which pairs of slots are in use.
    pub mask: u64,
    /// Exact sum of the durations, in nanoseconds.
    pub sum: u64,
}

/// The slots of a thread's histograms in one bank, see [`crate::hist::coarse`].
pub type TaskSlots = [[u32; COARSE_SLOTS]; LATENCIES];

/// A thread's own storage. The kernel puts it eight bytes into a cache line. Its first line is what a
/// pass looks at for every thread, the second what every switch changes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct TaskStats {
    /// On-CPU time already reported, in nanoseconds.
    pub cpu_time: u64,
    /// Voluntary context switches already reported, modulo 2^32.
    pub voluntary: u32,
    /// Involuntary context switches already reported, modulo 2^32.
    pub involuntary: u32,
    /// Stamps of a thread that found its slot taken.
    pub stamps: Stamps,
    /// Which run queue [`Self::throttle_clock`] is of: the lower half of its address, with the lowest bit
    /// set; 0 where that is a duration already.
    pub throttle_queue: u32,
    /// Its id when it was met first, which chose its slot for stamps. The id may change. 0 until the
    /// counters have their first value.
    pub first_pid: u32,
    /// Minor page faults already reported, modulo 2^32.
    pub minor_faults: u32,
    /// Major page faults already reported, modulo 2^32.
    pub major_faults: u32,
    /// For how long its group had been throttled on its CPU when it began to wait, in nanoseconds; or,
    /// once it has left that CPU, for how long the thread was throttled there.
    pub throttle_clock: u64,
    /// Histograms since the last two flips.
    pub summaries: [[Summary; LATENCIES]; BANKS],
    /// Their slots.
    pub slots: [TaskSlots; BANKS],
}

/// What one CPU counted in one bank. What changes at every switch is at the front.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HostBank {
    /// Context switches, to and from the idle task too.
    pub switches: u64,
    /// Exact sums of the durations, in nanoseconds.
    pub sums: [u64; HOST_LATENCIES],
    /// What was not measured, by [`Loss`].
    pub lost: [u64; Loss::COUNT],
    /// The last process with a thread that had no storage; 0 is none.
    pub without_storage: u64,
    /// Durations by slot at scale 3, see [`crate::hist::slot`].
    pub slots: [[u32; FINE_SLOTS]; HOST_LATENCIES],
}

named! {
    /// Why an interval was not recorded, or not recorded where it belongs.
    /// The names are the values of the attribute `monitor.loss.reason`.
    pub enum Loss {
        /// A thread came back from blocking and its wakeup was not seen.
        Unmatched = "unmatched",
        /// An interval was negative, or longer than [`crate::hist::MAX_NS`].
        Implausible = "implausible",
        /// A thread had no storage, so its switch-in was not recorded.
        NoStorage = "no_storage",
        /// A thread ended and its storage could not be read, so what it did since the last tick is missing.
        /// Before Linux 6.2 the kernel refuses that while it changes other storage on the same CPU.
        ExitUnread = "exit_unread",
        /// The table of exited threads was full, so a thread was added to `(other)`.
        ExitedFull = "exited_full",
        /// The table of throttled processes was full, so a throttled wait was added to `(other)`.
        ThrottledFull = "throttled_full",
        /// There was no room to tell of a slow wait.
        RingFull = "ring_full",
    }
}

/// One thread's news, as the `iter/task` pass writes it; its [`TaskSlots`] follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskRecord {
    /// Who it is.
    pub key: ProcessKey,
    /// What it used since it was last reported.
    pub usage: Usage,
    /// Its latencies in the tick that ended.
    pub summaries: [Summary; LATENCIES],
}

/// What the kernel counts by itself.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// On-CPU time in nanoseconds.
    pub cpu_time: u64,
    /// Voluntary context switches.
    pub voluntary: u64,
    /// Involuntary context switches.
    pub involuntary: u64,
    /// Page faults that needed no input or output.
    pub minor_faults: u64,
    /// Page faults that waited for a page to be read.
    pub major_faults: u64,
}

impl Usage {
    /// Nothing used.
    pub const NOTHING: Self =
        Self { cpu_time: 0, voluntary: 0, involuntary: 0, minor_faults: 0, major_faults: 0 };
}

/// What exited threads leave behind.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Exited {
    /// Threads that exited.
    pub threads: u64,
    /// Their usage since each was last reported.
    pub usage: Usage,
    /// Their latencies since then.
    pub summaries: [Summary; LATENCIES],
    /// The slots of those.
    pub slots: TaskSlots,
}

impl HostBank {
    /// Nothing recorded.
    pub const EMPTY: Self = Self {
        switches: 0,
        sums: [0; HOST_LATENCIES],
        lost: [0; Loss::COUNT],
        without_storage: 0,
        slots: [[0; FINE_SLOTS]; HOST_LATENCIES],
    };
}

impl Exited {
    /// Nobody exited.
    pub const EMPTY: Self = Self {
        threads: 0,
        usage: Usage::NOTHING,
        summaries: [Summary { mask: 0, sum: 0 }; LATENCIES],
        slots: [[0; COARSE_SLOTS]; LATENCIES],
    };
}

crate::pod!(Control, Exited, HostBank, StampSlot, TaskRecord, TaskStats);

/// What the storage of one thread takes in the kernel, which rounds it, with 72 bytes of its own, up
/// to a power of two.
pub const TASK_BYTES: u64 = (size_of::<TaskStats>() as u64 + 72).next_power_of_two();

const _: () = assert!(TASK_BYTES == 2048);
const _: () = assert!(size_of::<StampSlot>() == 32);
const _: () = assert!(PAIRS <= 64);
const _: () = assert!(offset_of!(TaskStats, summaries) == 64 - 8);
const _: () = assert!(size_of::<TaskStats>() == 56 + 64 + BANKS * size_of::<TaskSlots>());
const _: () = assert!(size_of::<TaskRecord>() == 32 + 40 + 32);
const _: () = assert!(size_of::<Exited>() == 8 + 40 + 32 + size_of::<TaskSlots>());
const _: () = assert!(FINE_SLOTS.is_multiple_of(2) && COARSE_SLOTS.is_multiple_of(2));
const _: () = assert!(size_of::<HostBank>() == 8 + 24 + 8 * Loss::COUNT + 8 + 12 * FINE_SLOTS);
