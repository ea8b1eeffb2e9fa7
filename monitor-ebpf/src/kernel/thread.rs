//! What the kernel counts of a single thread, and whether it runs.

use monitor_common::offsets::ThreadOffsets;

use super::task::{Task, constant};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static THREAD_OFFSETS: ThreadOffsets = ThreadOffsets::ABSENT;

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&THREAD_OFFSETS.$field)
    };
}

impl Task {
    /// The CPU it is on.
    #[inline(always)]
    pub fn cpu(self) -> u32 {
        self.read(offset!(cpu))
    }

    /// Whether it is on a CPU. A switch says so only after `sched_switch`.
    #[inline(always)]
    pub fn is_on_cpu(self) -> bool {
        self.read(offset!(on_cpu)).0 != 0
    }

    /// Whether it wants a CPU. At `sched_switch` this tells a task that was preempted or yielded from
    /// one that blocks, on every kernel: a wakeup under way has at most set `TASK_WAKING` by then.
    #[inline(always)]
    pub fn is_runnable(self) -> bool {
        self.read(offset!(state)) == 0
    }

    /// On-CPU time so far, in nanoseconds.
    #[inline(always)]
    pub fn cpu_time(self) -> u64 {
        self.read(offset!(sum_exec_runtime))
    }

    /// Voluntary context switches so far.
    #[inline(always)]
    pub fn voluntary_switches(self) -> u64 {
        self.read(offset!(nvcsw))
    }

    /// Involuntary context switches so far.
    #[inline(always)]
    pub fn involuntary_switches(self) -> u64 {
        self.read(offset!(nivcsw))
    }

    /// Whether it has been on a CPU and left it.
    #[inline(always)]
    pub fn has_run(self) -> bool {
        self.cpu_time() | self.voluntary_switches() | self.involuntary_switches() != 0
    }

    /// Page faults so far that needed no input or output.
    #[inline(always)]
    pub fn minor_faults(self) -> u64 {
        self.read(offset!(min_flt))
    }

    /// Page faults so far that waited for a page to be read.
    #[inline(always)]
    pub fn major_faults(self) -> u64 {
        self.read(offset!(maj_flt))
    }

    /// Whether it is no longer in any list of tasks.
    #[inline(always)]
    pub fn is_released(self) -> bool {
        self.read(offset!(thread_pid)).is_null()
    }
}
