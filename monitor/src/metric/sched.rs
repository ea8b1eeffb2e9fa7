//! Metrics of the `sched` probe.

use super::{Kind, MetricDesc};

/// Every metric of this module.
pub(super) const SCHED_ALL: &[&MetricDesc] = &[
    &PROCESS_CPU_TIME,
    &PROCESS_RUNQUEUE_LATENCY,
    &PROCESS_CPU_THROTTLED_LATENCY,
    &PROCESS_OFFCPU_LATENCY,
    &PROCESS_CONTEXT_SWITCHES,
    &PROCESS_MEMORY_FAULTS,
    &SCHED_RUNQUEUE_LATENCY,
    &SCHED_THROTTLED_LATENCY,
    &SCHED_OFFCPU_LATENCY,
    &SCHED_CONTEXT_SWITCHES,
];

/// On-CPU time by process group.
pub static PROCESS_CPU_TIME: MetricDesc = MetricDesc {
    name: "monitor.process.cpu.time",
    unit: "s",
    kind: Kind::Counter,
    attributes: &[],
    help: "Time spent running on a CPU",
    source: "task_struct.se.sum_exec_runtime, read by an iter/task pass and at sched_process_free",
};

/// Run-queue latency by process group.
pub static PROCESS_RUNQUEUE_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.process.runqueue.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time from being runnable (woken, or preempted) to running on a CPU, without throttled time",
    source: "sched_wakeup, sched_wakeup_new and sched_switch to sched_switch, recorded each time a thread gets \
             a CPU; sched_wakeup runs on the woken CPU, so the time that an idle CPU takes to wake up is not in \
             it",
};

/// Throttled latency by process group.
pub static PROCESS_CPU_THROTTLED_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.process.cpu.throttled.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time that runnable threads were throttled by a CPU quota; N throttled threads count N times",
    source: "the growth of cfs_rq.throttled_clock_self_time during a wait for a CPU, from sched_wakeup and \
             sched_switch to sched_switch, in cgroups with a quota of their own or above; recorded when the \
             thread runs again. The rest of the wait is monitor.process.runqueue.latency. throttled_usec in \
             cpu.stat counts a CPU once, however many threads wait there. Absent before Linux 6.6, where all of \
             the wait is run-queue latency; so is the wait of a thread that changes its cgroup meanwhile, or its \
             CPU in the tick of the host's first throttled wait, and what a thread is throttled on another CPU \
             that it is given while it is throttled",
};

/// Off-CPU latency by process group.
pub static PROCESS_OFFCPU_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.process.offcpu.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time blocked: from leaving a CPU to wait for something else until being woken; recorded \
           when the thread next runs, so what a thread still waits for is not yet in it",
    source: "sched_switch to sched_wakeup, which runs on the woken CPU: the time from sched_waking on \
             that an idle CPU takes to get the interrupt and to leave its idle state counts as blocked",
};

/// Context switches by process group.
pub static PROCESS_CONTEXT_SWITCHES: MetricDesc = MetricDesc {
    name: "monitor.process.context_switches",
    unit: "{switch}",
    kind: Kind::Counter,
    attributes: &["process.context_switch.type"],
    help: "Context switches away from the process's threads",
    source: "task_struct.nvcsw and nivcsw, read by an iter/task pass and at sched_process_free",
};

/// Page faults by process group.
pub static PROCESS_MEMORY_FAULTS: MetricDesc = MetricDesc {
    name: "monitor.process.memory.faults",
    unit: "{fault}",
    kind: Kind::Counter,
    attributes: &["system.paging.fault.type"],
    help: "Page faults: minor ones found the page in memory, major ones waited for it to be read",
    source: "task_struct.min_flt and maj_flt, read by an iter/task pass and at sched_process_free",
};

/// Run-queue latency of the host.
pub static SCHED_RUNQUEUE_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.sched.runqueue.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time from being runnable to running on a CPU without throttled time, of all threads; the sum of \
           monitor.process.runqueue.latency over all groups, at a finer scale",
    source: "sched_wakeup, sched_wakeup_new and sched_switch to sched_switch; sched_wakeup runs on the \
             woken CPU, so the time that an idle CPU takes to wake up is not in it",
};

/// Throttled latency of the host.
pub static SCHED_THROTTLED_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.sched.throttled.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time that runnable threads were throttled by a CPU quota, of all threads; the sum of \
           monitor.process.cpu.throttled.latency over all groups, at a finer scale",
    source: "the growth of cfs_rq.throttled_clock_self_time during a wait for a CPU, from sched_wakeup and \
             sched_switch to sched_switch; absent before Linux 6.6",
};

/// Off-CPU latency of the host.
pub static SCHED_OFFCPU_LATENCY: MetricDesc = MetricDesc {
    name: "monitor.sched.offcpu.latency",
    unit: "s",
    kind: Kind::Histogram,
    attributes: &[],
    help: "Time blocked, of all threads; the sum of monitor.process.offcpu.latency over all groups, \
           at a finer scale",
    source: "sched_switch to sched_wakeup, which runs on the woken CPU: the time from sched_waking on \
             that an idle CPU takes to get the interrupt and to leave its idle state counts as blocked",
};

/// Context switches by CPU.
pub static SCHED_CONTEXT_SWITCHES: MetricDesc = MetricDesc {
    name: "monitor.sched.context_switches",
    unit: "{switch}",
    kind: Kind::Counter,
    attributes: &["cpu.logical_number"],
    help: "Context switches on a CPU, to and from its idle task too",
    source: "sched_switch",
};
