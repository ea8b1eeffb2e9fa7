//! What the kernel does for the `sched` probe: it lets it wait for programs, and leaves nothing behind.

use std::{thread, time::Duration};

use monitor::{
    metric::AGENT_LOST,
    sample::{Sample, Value},
};
use monitor_common::sched::TaskStats;
use monitor_tests::{Workload, kernel, objects::Held, running::Running, serial, sys::bpf::Map};

#[test]
fn nothing_is_left_after_a_kill() {
    let _serial = serial();
    let probe = Workload::start("mt-probe", ["probe"]);
    probe.done();
    let held = Held::by(probe.pid());
    let counts = held.counts();
    assert!(counts.iter().all(|count| *count >= 5), "too few objects: {held:?}");
    assert_eq!(held.remaining().len(), counts.iter().sum::<usize>(), "bpftool sees others");
    // By SIGKILL, so it cannot tidy up.
    probe.kill();
    // The kernel frees objects when nothing can be using them any more.
    for _ in 0..100 {
        if held.remaining().is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("still there: {:?}", held.remaining());
}

#[test]
fn programs_have_ended_after_the_wait() {
    let _serial = serial();
    let workload = Workload::start("mt-grace", ["grace", "20", "as-the-daemon"]);
    let numbers = workload.done();
    println!("running before and after: {numbers:?}");
    assert_eq!(numbers, [20, 0]);
    workload.end();
}

#[test]
fn a_thread_that_ends_without_storage_is_counted() {
    let _serial = serial();
    let mut sched = Running::start(&kernel(), "sched");
    let map = Held::by(std::process::id()).map("TASKS", size_of::<TaskStats>());
    let storage = Map::<TaskStats>::open(map);
    let workload = Workload::start("mt-unread", ["nothing"]);
    let mut unread = 0;
    let mut add = |sample: Sample<'_>| {
        let of_end = || sample.attributes.iter().any(|(_, value)| value == "exit_unread");
        if let Value::Increase(count) = sample.value
            && sample.metric.name == AGENT_LOST.name
            && of_end()
        {
            unread += count;
        }
    };
    sched.tick(&mut add);
    // As if the kernel refused it; the next pass would make it anew.
    storage.remove_of_process(workload.pid());
    workload.end();
    // A task is freed a grace period after it was reaped.
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(100));
        sched.tick(&mut add);
    }
    assert_eq!(unread, 1);
}
