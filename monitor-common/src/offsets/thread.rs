//! What is read of single threads: what the scheduler counts, and how long it throttled them.

use super::{LowByte, Member, Offset, Pointer, ReadAs, Table};

offsets! {
    /// Offsets for what is read of a single thread beyond [`TaskOffsets`].
    ThreadOffsets for "THREAD_OFFSETS" {
        /// Run state; 0 is runnable.
        state: u32, "task_struct.__state" | "task_struct.state";
        /// Whether it is on a CPU: an `int` before 7.2, a `u8` since.
        on_cpu: LowByte, "task_struct.on_cpu";
        /// The CPU the task is on.
        cpu: u32, "task_struct.thread_info.cpu" | "task_struct.cpu";
        /// The `struct pid`, null once the task is released.
        thread_pid: Pointer, "task_struct.thread_pid";
        /// On-CPU time in nanoseconds.
        sum_exec_runtime: u64, "task_struct.se.sum_exec_runtime";
        /// Voluntary context switches.
        nvcsw: u64, "task_struct.nvcsw";
        /// Involuntary context switches.
        nivcsw: u64, "task_struct.nivcsw";
        /// Minor page faults.
        min_flt: u64, "task_struct.min_flt";
        /// Major page faults.
        maj_flt: u64, "task_struct.maj_flt";
    }
}

offsets! {
    /// Offsets for what is read to know for how long a quota throttled a thread, in kernels that have quotas
    /// and tell.
    ThrottleOffsets for "THROTTLE_OFFSETS" {
        /// The fair run queue of its group on its CPU.
        queue: Pointer, "task_struct.se.cfs_rq";
        /// For how long the group was throttled there, by a quota of its own or above, in nanoseconds.
        time: u64, "cfs_rq.throttled_clock_self_time" | "-";
        /// Since when it is; 0 when it is not.
        since: u64, "cfs_rq.throttled_clock_self" | "-";
        /// The run queue of the CPU.
        rq: Pointer, "cfs_rq.rq" | "-";
        /// The clock of that.
        clock: u64, "rq.clock";
        /// Whether the thread itself is throttled, from 6.18 on.
        throttled: u8, "task_struct.throttled" | "-";
        /// Its group, in kernels with groups.
        group: Pointer, "task_struct.sched_task_group" | "-";
        /// The tightest quota of a group and those above, as a share of a CPU.
        quota: u64, "task_group.cfs_bandwidth.hierarchical_quota" | "-";
        /// Its priority.
        prio: u32, "task_struct.prio";
    }
}
