//! Metrics of the `process` probe.

use super::{Kind, MetricDesc};

/// Every metric of this module.
pub(crate) const PROCESS_ALL: &[&MetricDesc] =
    &[&PROCESS_FORKS, &PROCESS_THREADS_CREATED, &PROCESS_EXECS, &PROCESS_EXITS];

/// Forks by process group.
pub static PROCESS_FORKS: MetricDesc = MetricDesc {
    name: "monitor.process.forks",
    unit: "{process}",
    kind: Kind::Counter,
    help: "Forked processes, counted for the parent",
    details: "Threads are not included.",
    source: "task_newtask",
    ..MetricDesc::BASE
};

/// Created threads by process group.
pub static PROCESS_THREADS_CREATED: MetricDesc = MetricDesc {
    name: "monitor.process.threads.created",
    unit: "{thread}",
    kind: Kind::Counter,
    help: "Created threads, without the first thread of each process",
    details: "Workers that the kernel creates in a process, for io_uring and vhost, are included.",
    source: "task_newtask",
    ..MetricDesc::BASE
};

/// Executed programs by process group.
pub static PROCESS_EXECS: MetricDesc = MetricDesc {
    name: "monitor.process.execs",
    unit: "{exec}",
    kind: Kind::Counter,
    help: "Executed programs (exec), counted for the new command name",
    source: "sched_process_exec",
    ..MetricDesc::BASE
};

/// Exits by process group.
pub static PROCESS_EXITS: MetricDesc = MetricDesc {
    name: "monitor.process.exits",
    unit: "{process}",
    kind: Kind::Counter,
    attributes: &["monitor.exit.class", "monitor.exit.signal"],
    help: "Exited processes by class: success, failure or signal",
    details: "`success`: exit code 0. `failure`: another exit code. `signal`: killed by the signal in \
              `monitor.exit.signal`. A process exits with its last thread.",
    source: "sched_process_exit",
    ..MetricDesc::BASE
};
