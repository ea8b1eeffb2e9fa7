//! Metrics of the `sched` probe.

use super::{Kind, MetricDesc, pair};

/// Every metric of this module.
pub(crate) const SCHED_ALL: &[&MetricDesc] = &[
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

/// On-CPU time.
pub static PROCESS_CPU_TIME: MetricDesc = MetricDesc {
    name: "monitor.process.cpu.time",
    unit: "s",
    kind: Kind::Counter,
    help: "On-CPU time of all threads",
    source: "task_struct.se.sum_exec_runtime, read by an iter/task pass and at sched_process_free",
    is_cost: true,
    ..MetricDesc::BASE
};

pair! {
    process: PROCESS_RUNQUEUE_LATENCY "monitor.process.runqueue.latency" [],
    host: SCHED_RUNQUEUE_LATENCY "monitor.sched.runqueue.latency" [] ", all threads of the host",
    kind: Histogram "s",
    is_cost: true,
    help: "Run-queue latency: time from runnable (woken or preempted) to running on a CPU",
    details: "Time in the run queue, also known as scheduler latency. Time throttled by a CPU quota is not included. \
              `sched_wakeup` runs on the woken CPU, so the time that an idle CPU takes to wake up is not included \
              either.",
    source: "sched_wakeup, sched_wakeup_new and sched_switch to sched_switch, recorded each time a thread gets a CPU",
}

pair! {
    process: PROCESS_CPU_THROTTLED_LATENCY "monitor.process.cpu.throttled.latency" [],
    host: SCHED_THROTTLED_LATENCY "monitor.sched.throttled.latency" [] ", all threads of the host",
    kind: Histogram "s",
    is_cost: true,
    help: "Time that runnable threads were throttled by a CPU quota",
    details: "N throttled threads count N times, while `throttled_usec` in cpu.stat counts each CPU once. Recorded \
              when the thread runs again; the rest of its wait is run-queue latency. Absent before Linux 6.6, where \
              the whole wait is run-queue latency. The same holds for the wait of a thread that changes its cgroup \
              while it waits, or its CPU in the tick of the host's first throttled wait, and for the time throttled on \
              a second CPU that the thread moves to while it is throttled.",
    source: "growth of cfs_rq.throttled_clock_self_time during a wait for a CPU, from sched_wakeup and sched_switch to \
             sched_switch, in cgroups with a quota of their own or above",
}

pair! {
    process: PROCESS_OFFCPU_LATENCY "monitor.process.offcpu.latency" [],
    host: SCHED_OFFCPU_LATENCY "monitor.sched.offcpu.latency" [] ", all threads of the host",
    kind: Histogram "s",
    is_cost: false,
    help: "Off-CPU latency: time blocked, from leaving a CPU until woken",
    details: "Recorded when the thread next runs: the wait of a thread that is still blocked is not included yet. The \
              time that an idle CPU takes to handle the wakeup interrupt and to leave its idle state counts as \
              blocked.",
    source: "sched_switch to sched_wakeup, which runs on the woken CPU",
}

/// Context switches by process group.
pub static PROCESS_CONTEXT_SWITCHES: MetricDesc = MetricDesc {
    name: "monitor.process.context_switches",
    unit: "{switch}",
    kind: Kind::Counter,
    attributes: &["process.context_switch.type"],
    help: "Voluntary and involuntary context switches of all threads",
    source: "task_struct.nvcsw and nivcsw, read by an iter/task pass and at sched_process_free",
    ..MetricDesc::BASE
};

/// Page faults by process group.
pub static PROCESS_MEMORY_FAULTS: MetricDesc = MetricDesc {
    name: "monitor.process.memory.faults",
    unit: "{fault}",
    kind: Kind::Counter,
    attributes: &["system.paging.fault.type"],
    help: "Minor page faults (page in memory) and major page faults (page read from disk)",
    source: "task_struct.min_flt and maj_flt, read by an iter/task pass and at sched_process_free",
    ..MetricDesc::BASE
};

/// Context switches by CPU.
pub static SCHED_CONTEXT_SWITCHES: MetricDesc = MetricDesc {
    name: "monitor.sched.context_switches",
    unit: "{switch}",
    kind: Kind::Counter,
    attributes: &["cpu.logical_number"],
    help: "Context switches per CPU, including those to and from the idle task",
    source: "sched_switch",
    ..MetricDesc::BASE
};
