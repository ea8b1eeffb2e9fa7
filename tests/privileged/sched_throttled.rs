//! How long a CPU quota throttles threads, against what the kernel counts in `cpu.stat`.

use std::{thread, time::Duration};

use monitor_tests::{
    Counts, Hist, Recorder, Workload, cgroup::Cgroup, kernel, proc::Counters, repeatable, serial,
    sys, truth,
};

/// Lets a workload come to rest, and returns what was recorded of it and what the kernel counted.
fn rest(recorder: &Recorder, workload: Workload) -> (Counts, Counters) {
    workload.done();
    let kernel = Counters::of_idle_process(workload.pid());
    let totals = recorder.settle();
    let pid = workload.pid();
    workload.end();
    assert_eq!(totals.host.throttled, totals.of(|_| true).throttled, "the host and all processes");
    (totals.of(|process| process.pid == pid), kernel)
}

/// All waits are recorded once, as one or the other.
fn check_sum(recorded: &Counts, kernel: &Counters) {
    let waited = recorded.waited_ns() as f64;
    truth::within("run-queue and throttled by schedstat", waited, kernel.run_delay_ns as f64);
    assert_eq!(recorded.runqueue.count(), kernel.times, "each wait is one of the run queue");
}

#[test]
fn one_throttled_thread_is_throttled_as_long_as_its_cgroup() {
    let _serial = serial();
    repeatable(|| {
        let recorder = Recorder::start(&kernel());
        let cgroup = Cgroup::new("throttled", 5000, 50_000);
        let path = cgroup.path().to_str().expect("plain letters");
        let hog = Workload::start("mt-throttled", ["hog", &sys::last_cpu(), path, "100"]);
        let (recorded, kernel) = rest(&recorder, hog);
        let expected = cgroup.throttled_ns();
        assert!(expected > 500_000_000, "throttled for {expected} ns only");
        truth::within("throttled by cpu.stat", recorded.throttled.sum as f64, expected as f64);
        check_sum(&recorded, &kernel);
    });
}

#[test]
fn a_thread_beside_a_hog_is_throttled_and_contended() {
    let _serial = serial();
    repeatable(|| {
        let recorder = Recorder::start(&kernel());
        let cpu = sys::last_cpu();
        let other = Workload::start("mt-hog", ["hog", &cpu, "-", "60000"]).busy();
        let cgroup = Cgroup::new("contended", 5000, 50_000);
        let path = cgroup.path().to_str().expect("plain letters");
        let hog = Workload::start("mt-throttled", ["hog", &cpu, path, "100"]);
        let pid = other.pid();
        let (recorded, kernel) = rest(&recorder, hog);
        truth::within(
            "throttled by cpu.stat",
            recorded.throttled.sum as f64,
            cgroup.throttled_ns() as f64,
        );
        check_sum(&recorded, &kernel);
        let free = recorder.settle().of(|process| process.pid == pid);
        assert_eq!(free.throttled, Hist::default(), "it has no quota");
        assert!(free.runqueue.sum > 0 && recorded.runqueue.sum > 10_000_000, "{recorded:?}");
    });
}

#[test]
fn a_quota_above_throttles_too() {
    let _serial = serial();
    repeatable(|| {
        let recorder = Recorder::start(&kernel());
        let above = Cgroup::new("above", 5000, 50_000);
        let below = Cgroup::at("cpu", &above.path().join("below"));
        let path = below.path().to_str().expect("plain letters");
        let hog = Workload::start("mt-throttled", ["hog", &sys::last_cpu(), path, "100"]);
        let (recorded, kernel) = rest(&recorder, hog);
        let expected = above.throttled_ns();
        assert_eq!(below.throttled_ns(), 0, "it has no quota of its own");
        truth::within("throttled by cpu.stat", recorded.throttled.sum as f64, expected as f64);
        check_sum(&recorded, &kernel);
        drop(below);
    });
}

/// A thread whose quota is there again, but not its CPU, is given to another: it was throttled for the first
/// part of that wait. What the kernel counts for its cgroup it counts for the CPU that it leaves.
#[test]
fn a_thread_that_changes_its_cpu_before_it_runs_was_throttled() {
    let _serial = serial();
    repeatable(|| {
        const PERIOD: Duration = Duration::from_millis(100);
        let recorder = Recorder::start(&kernel());
        // So much that what a thread uses too much, until the next tick of the kernel, is made up for by one
        // period.
        let cgroup = Cgroup::new("moved", 20_000, 100_000);
        let path = cgroup.path().to_str().expect("plain letters");
        let cpus = [sys::cpus()[0], *sys::cpus().last().expect("there is one")];
        let hog = Workload::start("mt-throttled", ["hog", &cpus[0].to_string(), path, "500"]);
        while cgroup.throttled_ns() == 0 {
            thread::sleep(PERIOD);
        }
        // Migrations are traced from the first tick with a throttled thread on.
        recorder.settle();
        for [from, to] in [[0, 1], [1, 0]].repeat(3) {
            let taken = thread::spawn(move || {
                sys::pin(cpus[from]);
                sys::run_first();
                sys::burn(2 * PERIOD);
            });
            thread::sleep(2 * PERIOD - PERIOD / 5);
            sys::pin_thread(hog.pid().cast_signed(), cpus[to]);
            taken.join().expect("it only burns");
        }
        let (recorded, kernel) = rest(&recorder, hog);
        let expected = cgroup.throttled_ns() as f64;
        truth::within("throttled by cpu.stat", recorded.throttled.sum as f64, expected);
        check_sum(&recorded, &kernel);
    });
}
