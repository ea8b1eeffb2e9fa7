//! Workloads from start to end, with all comparisons that hold for any of them.

use monitor::kernel::loader::Kernel;

use crate::{Blind, Counts, Recorder, Workload, observe, proc::Counters, recorder::comm, truth};

/// A workload that has come to rest.
pub struct Rest {
    /// Its process id.
    pub pid: u32,
    /// Its command name.
    pub name: String,
    /// What the kernel counted of it.
    pub kernel: Counters,
    /// What was recorded of it.
    pub recorded: Counts,
}

/// Lets workloads do their work, compares what can be compared while they are at rest, and ends
/// them.
fn run(recorder: &Recorder, workloads: Vec<Workload>) -> Vec<Rest> {
    for workload in &workloads {
        workload.done();
    }
    let kernel: Vec<_> =
        workloads.iter().map(|workload| Counters::of_idle_process(workload.pid())).collect();
    let totals = recorder.settle();
    let rest = workloads.iter().zip(kernel).map(|(workload, kernel)| Rest {
        pid: workload.pid(),
        name: workload.name.clone(),
        kernel,
        recorded: totals.of(|process| process.pid == workload.pid()),
    });
    let rest = rest.collect();
    workloads.into_iter().for_each(Workload::end);
    rest
}

/// Observes workloads and makes all comparisons that hold for any; returns what they were at rest.
pub fn check(kernel: &Kernel, start: impl Fn() -> Vec<Workload>) -> Vec<Rest> {
    let observed = observe(kernel, |recorder| run(recorder, start()));
    for rest in &observed.result {
        let wanted = |tid: u32, comm: &str| tid == rest.pid || comm == rest.name;
        let blind = observed.events.blind(wanted);
        let then = Blind { unended: 0, ..blind };
        truth::check_counters(&rest.name, &rest.recorded, &rest.kernel, then);
        let counts = observed.totals.of_process(rest.pid, &rest.name);
        truth::check_intervals(&rest.name, &counts, &observed.events.intervals(wanted), blind);
    }
    truth::check_host(&observed.totals, &observed.events);
    observed.result
}

/// Observes forks of a process that each run about 1 ms, and makes all comparisons. The arguments
/// are for the workload.
pub fn check_forks(kernel: &Kernel, args: &[&str]) {
    let observed = observe(kernel, |recorder| {
        let forks = Workload::start("mt-forks", args);
        let used = forks.done();
        // The children are gone, and the parent is not: what has their name and not its id is theirs.
        let totals = recorder.settle();
        let pid = forks.pid();
        forks.end();
        (pid, used, totals)
    });
    let (pid, used, totals) = &observed.result;
    let children = totals.of(|process| process.pid != *pid && comm(process) == "mt-forked");
    let &[cpu_ns, run_delay_ns, times, voluntary, involuntary, rusage_ns] = used.as_slice() else {
        panic!("the workload reports six numbers, not {used:?}");
    };
    let kernel = Counters { cpu_ns, run_delay_ns, times, voluntary, involuntary };
    let wanted = |tid: u32, comm: &str| tid != *pid && comm == "mt-forked";
    let blind = observed.events.blind(wanted);
    truth::check_counters("forks", &children, &kernel, blind);
    let (cpu_ns, rusage_ns) = (children.cpu_ns as f64, rusage_ns as f64);
    truth::mostly("forks on-CPU by RUSAGE_CHILDREN", cpu_ns, rusage_ns, blind.seen());
    truth::check_intervals("forks", &children, &observed.events.intervals(wanted), blind);
    truth::check_host(&observed.totals, &observed.events);
}
