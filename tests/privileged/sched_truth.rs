//! What the `sched` probe reports, against the scheduler's raw events as bpftrace prints them and
//! against the kernel's own counters, for workloads of very different kinds.
//!
//! The tolerances are those of the specification. Load from elsewhere makes waits longer, for all
//! observers alike, so it does not make these tests fail.

use monitor_tests::{
    Workload, cgroup::Cgroup, kernel, repeatable, scenario, serial, sys, truth, workload::Pipes,
};

#[test]
fn hogs_under_a_quota() {
    let _serial = serial();
    repeatable(|| {
        let cgroup = Cgroup::new("hogs", 25_000, 50_000);
        let path = cgroup.path().to_str().expect("plain letters");
        let hogs = || {
            let start =
                |n| Workload::start(&format!("mt-hog{n}"), ["hog", &sys::last_cpu(), path, "300"]);
            (0..4).map(start).collect()
        };
        for rest in scenario::check(&kernel(), hogs) {
            // `schedstat` starts its waits when `rq->clock` was last updated, which is late by next to
            // nothing where waits are long.
            truth::within(
                &format!("{} run-queue sum by schedstat", rest.name),
                rest.recorded.waited_ns() as f64,
                rest.kernel.run_delay_ns as f64,
            );
        }
    });
}

/// A pair of processes that pass a byte to and fro.
fn check_ping_pong(cpus: [&str; 2]) {
    repeatable(|| {
        let pipes = Pipes::new();
        let [there, back] = pipes.paths();
        scenario::check(&kernel(), || {
            vec![
                Workload::start("mt-ping", ["ping", cpus[0], there, back, "10000"]),
                Workload::start("mt-pong", ["pong", cpus[1], there, back, "10000"]),
            ]
        });
    });
}

#[test]
fn ping_pong_on_one_cpu() {
    let _serial = serial();
    let cpu = sys::last_cpu();
    check_ping_pong([&cpu, &cpu]);
}

#[test]
fn ping_pong_across_cpus() {
    let _serial = serial();
    let first = sys::cpus()[0].to_string();
    check_ping_pong([&first, &sys::last_cpu()]);
}

#[test]
fn many_threads() {
    let _serial = serial();
    repeatable(|| {
        scenario::check(&kernel(), || {
            vec![Workload::start("mt-threads", ["threads", "500", "20"])]
        });
    });
}

#[test]
fn mostly_idle() {
    let _serial = serial();
    repeatable(|| {
        scenario::check(&kernel(), || {
            vec![Workload::start("mt-sleeper", ["sleep", "-", "2000", "1000"])]
        });
    });
}

#[test]
fn many_forks() {
    let _serial = serial();
    repeatable(|| {
        scenario::check_forks(&kernel(), &["forks", "5000", "1000"]);
    });
}
