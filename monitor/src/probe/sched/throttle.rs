//! Whether the kernel says for how long a quota throttles a thread.

use crate::kernel::loader::Kernel;

/// What it keeps for each group and CPU.
const CLOCK: [&str; 3] =
    ["cfs_rq.throttled_clock_self_time", "cfs_rq.throttled_clock_self", "cfs_rq.rq"];

/// Whether a thread is throttled, from 6.18 on.
const OF_THREAD: &str = "task_struct.throttled";

/// Whether it has a quota, before.
const OF_GROUP: [&str; 2] =
    ["task_struct.sched_task_group", "task_group.cfs_bandwidth.hierarchical_quota"];

/// What the kernel lacks for that, if it lacks anything.
pub(super) fn missing(kernel: &Kernel) -> Option<&'static str> {
    let lacks = |member: &&str| !kernel.has_member(member);
    let clock = CLOCK.into_iter().find(|member| lacks(member));
    let of_group = || OF_GROUP.into_iter().find(|member| lacks(member));
    clock.or_else(|| if kernel.has_member(OF_THREAD) { None } else { of_group() })
}

/// What is not measured where the kernel lacks a member.
pub(super) fn absent(missing: &str) -> String {
    format!(
        "throttled time not measured by sched, it counts as run-queue latency: unsupported, the kernel has no \
         {missing}"
    )
}
