//! Metrics of the `process` probe.

use super::{Kind, MetricDesc};

/// Every metric of this module.
pub(super) const PROCESS_ALL: &[&MetricDesc] =
    &[&PROCESS_FORKS, &PROCESS_THREADS_CREATED, &PROCESS_EXECS, &PROCESS_EXITS];

/// Processes made, by process group.
pub static PROCESS_FORKS: MetricDesc = MetricDesc {
    name: "monitor.process.forks",
    unit: "{process}",
    kind: Kind::Counter,
    attributes: &[],
    help: "Processes that were made, counted for the one that made them; threads are not counted",
    source: "task_newtask",
};

/// Threads created, by process group.
pub static PROCESS_THREADS_CREATED: MetricDesc = MetricDesc {
    name: "monitor.process.threads.created",
    unit: "{thread}",
    kind: Kind::Counter,
    attributes: &[],
    help: "Threads created besides the first of a process, with those that the kernel creates in it for \
           io_uring and vhost",
    source: "task_newtask",
};

/// Programs executed, by process group.
pub static PROCESS_EXECS: MetricDesc = MetricDesc {
    name: "monitor.process.execs",
    unit: "{exec}",
    kind: Kind::Counter,
    attributes: &[],
    help: "Programs that were executed, counted for the command that the process is named after from \
           then on",
    source: "sched_process_exec",
};

/// Ends of processes, by process group.
pub static PROCESS_EXITS: MetricDesc = MetricDesc {
    name: "monitor.process.exits",
    unit: "{process}",
    kind: Kind::Counter,
    attributes: &["monitor.exit.class", "monitor.exit.signal"],
    help: "Processes whose last thread ended: class success with code 0, failure with another code, \
           signal by the signal that is named",
    source: "sched_process_exit",
};
