//! Cases in which it would be easy for the `sched` probe to be wrong.

use std::{thread, time::Duration};

use monitor::kernel::loader::Kernel;
use monitor_common::hist;
use monitor_tests::{
    Collector, Recorder, Tracer, Workload,
    cgroup::Cgroup,
    kernel, observe,
    proc::{Counters, is_kernel_thread},
    recorder::comm,
    repeatable, scenario, serial, sys, truth,
};

/// A kernel for which the probe makes so few slots that most threads have to share.
fn crowded() -> Kernel {
    let mut kernel = kernel();
    kernel.pid_max = 64;
    kernel
}

#[test]
fn only_threads_that_exist() {
    let _serial = serial();
    let recorder = Recorder::start(&kernel());
    let sleeper = Workload::start("mt-sleeper", ["sleep", "-", "200", "1000"]);
    sleeper.done();
    let totals = recorder.settle();
    let mut kernel_threads = 0;
    for process in totals.processes.keys() {
        assert!(!comm(process).starts_with("swapper/"), "{process:?} is an idle task");
        // Those that are gone, or were only left behind, cannot be asked.
        if let Some(kernel_thread) = is_kernel_thread(process.pid) {
            assert_eq!(process.kernel_thread, kernel_thread, "{process:?}");
            kernel_threads += u32::from(kernel_thread);
        }
    }
    assert!(kernel_threads > 0, "the kernel has threads of its own, and some ran");
    let rcu = totals.of(|process| comm(process).starts_with("rcu_"));
    assert!(rcu.runqueue.count() > 0, "grace periods need a thread");
    sleeper.end();
}

#[test]
fn the_cgroup_of_a_process() {
    let _serial = serial();
    let cgroup = Cgroup::new("id", 50_000, 50_000);
    let recorder = Recorder::start(&kernel());
    let path = cgroup.path().to_str().expect("plain letters");
    let hog = Workload::start("mt-hog", ["hog", "-", path, "1000"]);
    let (pid, id) = (hog.pid(), cgroup.id());
    hog.done();
    let inside = |totals: &monitor_tests::Totals| {
        totals.of(|process| process.pid == pid && process.cgroup_id == id).cpu_ns
    };
    let used = inside(&recorder.settle());
    assert!(used > 500_000_000, "only {used} ns of 1 s were found in the cgroup with id {id}");
    hog.end();
}

#[test]
fn preemption_is_waiting_and_not_blocking() {
    let _serial = serial();
    let recorder = Recorder::start(&kernel());
    let cpu = sys::last_cpu();
    let hogs = ["mt-hog0", "mt-hog1"]
        .map(|name| Workload::start(name, ["hog", &cpu, "-", "60000"]))
        .map(Workload::busy);
    let (before, after) = (recorder.settle(), recorder.settle());
    for hog in &hogs {
        let during =
            after.of_process(hog.pid(), &hog.name).since(&before.of_process(hog.pid(), &hog.name));
        assert!(during.runqueue.count() > 0 && during.involuntary > 0, "{during:?}");
        // It asks for nothing that it could wait for. Should the kernel have it wait all the same,
        // that is a voluntary switch.
        assert!(during.voluntary * 20 < during.involuntary, "{during:?}");
        assert!(during.offcpu.count() <= during.voluntary, "{during:?}");
        // Two share a CPU, perhaps with others, so at least half of the time is spent waiting; what
        // is under way at the ends of the ticks is missing or too much.
        assert!(during.runqueue.sum > u128::from(during.cpu_ns) / 2, "{during:?}");
    }
    hogs.into_iter().for_each(Workload::kill);
}

#[test]
fn threads_that_share_slots() {
    let _serial = serial();
    repeatable(|| {
        scenario::check(&crowded(), || {
            vec![Workload::start("mt-threads", ["threads", "200", "20"])]
        });
    });
}

#[test]
fn processes_that_share_slots() {
    let _serial = serial();
    repeatable(|| scenario::check_forks(&crowded(), &["forks", "500", "1000"]));
}

/// One process id for many processes, one after the other.
fn check_reuse(kernel: &Kernel) {
    repeatable(|| {
        let observed = observe(kernel, |recorder| {
            let reuse = Workload::start("mt-reuse", ["reuse", "300"]);
            let same = reuse.done()[0];
            assert!(same > 100, "the process id was used again only {same} times");
            recorder.settle();
            let pid = reuse.pid();
            reuse.end();
            pid
        });
        let pid = observed.result;
        // Children that a pass met while they lived are reported by their own ids.
        let all = observed.totals.of(|process| process.pid == pid || comm(process) == "mt-reuse");
        let wanted = |tid: u32, comm: &str| tid == pid || comm == "mt-reuse";
        let blind = observed.events.blind(wanted);
        truth::check_intervals("reuse", &all, &observed.events.intervals(wanted), blind);
        truth::check_host(&observed.totals, &observed.events);
    });
}

#[test]
fn process_ids_that_are_used_again() {
    let _serial = serial();
    check_reuse(&kernel());
}

#[test]
fn process_ids_that_are_used_again_with_shared_slots() {
    let _serial = serial();
    check_reuse(&crowded());
}

#[test]
fn an_exec_from_another_thread() {
    let _serial = serial();
    repeatable(|| {
        for kernel in [kernel(), crowded()] {
            let observed = observe(&kernel, |recorder| {
                let process = Workload::start("mt-exec", ["exec"]);
                process.done();
                recorder.settle();
                let pid = process.pid();
                process.end();
                pid
            });
            let counts = observed.totals.of_process(observed.result, "mt-exec");
            let pid = observed.result;
            let wanted = |tid: u32, comm: &str| tid == pid || comm == "mt-exec";
            let blind = observed.events.blind(wanted);
            truth::check_intervals("exec", &counts, &observed.events.intervals(wanted), blind);
            truth::check_host(&observed.totals, &observed.events);
        }
    });
}

#[test]
fn slots_of_threads_that_changed_their_ids() {
    let _serial = serial();
    // A thread that executes a program gets the id of the first one, and that one its id. New
    // processes must not find what either left in the slot of its former id.
    repeatable(|| scenario::check_forks(&crowded(), &["execs", "100", "1000"]));
}

#[test]
fn threads_that_end_before_their_process() {
    let _serial = serial();
    repeatable(|| {
        let observed = observe(&kernel(), |recorder| {
            let process = Workload::start("mt-leave", ["leave", "60", "20000"]);
            let used = process.done();
            let pid = process.pid();
            // What is left is the first thread.
            let first = Counters::of_idle_process(pid);
            let recorded = recorder.settle().of(|process| process.pid == pid);
            process.end();
            (pid, used, first, recorded)
        });
        let (pid, used, first, recorded) = &observed.result;
        let &[cpu_ns, switches, threads] = used.as_slice() else {
            panic!("the workload reports three numbers, not {used:?}");
        };
        let counts = observed.totals.of_process(*pid, "mt-leave");
        let wanted = |tid: u32, comm: &str| tid == *pid || comm == "mt-leave";
        let blind = observed.events.blind(wanted);
        truth::check_intervals("leave", &counts, &observed.events.intervals(wanted), blind);
        // A thread's own clock, as it reads it, lacks its way out: some 50 us of 20 ms.
        let recorded_ns = (recorded.cpu_ns - first.cpu_ns) as f64;
        truth::mostly("ended threads on-CPU", recorded_ns, cpu_ns as f64, blind.seen());
        let ended = recorded.voluntary + recorded.involuntary - first.voluntary - first.involuntary;
        let expected = (switches + threads) as f64;
        truth::mostly("ended threads' switches", ended as f64, expected, blind.seen());
        truth::check_host(&observed.totals, &observed.events);
    });
}

#[test]
fn attaching_under_load() {
    let _serial = serial();
    let cpu = sys::last_cpu();
    let first = sys::cpus()[0].to_string();
    let hog = |name| Workload::start(name, ["hog", &cpu, "-", "60000"]);
    let busy = [
        hog("mt-hog0").busy(),
        hog("mt-hog1").busy(),
        Workload::start("mt-sleeper", ["sleep", &first, "100000", "2000"]),
        Workload::start("mt-threads", ["threads", "50", "10000"]),
    ];
    let tracer = Tracer::start(8192);
    let recorder = Recorder::start(&kernel());
    let totals = recorder.settle();
    let end = sys::monotonic_ns();
    let begin = recorder.attached_from;
    drop(recorder);
    let events = tracer.stop().unwrap_or_else(|lost| panic!("bpftrace could not keep up: {lost}"));
    for workload in &busy {
        let (pid, name) = (workload.pid(), workload.name.as_str());
        let counts = totals.of_process(pid, name);
        assert!(counts.runqueue.count() > 0, "{name} never waited");
        // All waits that ended since, those too that began before and of which we can know nothing.
        let all = events.intervals_since(begin, |tid, comm| tid == pid || comm == name);
        for (kind, hist, all) in [
            ("run-queue", &counts.runqueue, &all.runqueue),
            ("off-CPU", &counts.offcpu, &all.offcpu),
        ] {
            let Some(longest) = hist.quantile_slot(1.0) else { continue };
            let possible = hist::coarse(hist::slot(end - begin));
            assert!(longest <= possible, "{name} {kind}: longer than the probe was attached");
            let really = all.iter().copied().max().unwrap_or(0);
            println!("{name} {kind}: longest in slot {longest}, really {really} ns");
            assert!(
                longest <= hist::coarse(hist::slot(really)) + 1,
                "{name} {kind}: slot {longest}, but the longest was {really} ns"
            );
        }
    }
    busy.into_iter().for_each(Workload::kill);
}

/// Where the machine is a sandbox, the kernel leaves the threads of its first process out of its passes: they have
/// no storage. They are no loss from the first tick on.
#[test]
fn a_process_that_the_kernel_leaves_out_is_no_loss() {
    const WHILE: Duration = Duration::from_secs(3);
    let _serial = serial();
    let collector = Collector::start(&kernel(), "sched");
    thread::sleep(WHILE);
    let collected = collector.stop();
    assert_eq!(collected.lost["no_storage"], 0, "{:?}", collected.lost);
}
