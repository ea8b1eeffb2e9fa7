//! What the kernel does for the `sched` probe: it lets it wait for programs, and leaves nothing behind.

use std::{
    thread,
    time::{Duration, Instant},
};

use monitor::{metric::AGENT_LOST, sample::Value};
use monitor_common::sched::{StampSlot, TaskStats};
use monitor_tests::{Workload, kernel, objects::Held, running::Running, serial, sys::bpf::Map};

/// How long the kernel may take.
const PATIENCE: Duration = Duration::from_secs(10);

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
    sched.tick(&mut |_| {});
    // As if the kernel refused it; the next pass would make it anew.
    storage.remove_of_process(workload.pid());
    workload.end();
    assert_eq!(unread_ends(&mut sched), 1);
}

/// The same where another thread has the slot of its id, so that its stamps were in its storage.
#[test]
fn a_thread_that_ends_without_storage_and_slot_is_counted() {
    let _serial = serial();
    let mut sched = Running::start(&kernel(), "sched");
    let held = Held::by(std::process::id());
    let storage = Map::<TaskStats>::open(held.map("TASKS", size_of::<TaskStats>()));
    let slots = Map::<StampSlot>::open(held.map("STAMPS", size_of::<StampSlot>()));
    let workload = Workload::start("mt-unread", ["nothing"]);
    sched.tick(&mut |_| {});
    let place = workload.pid() % slots.entries;
    slots.set(place, &StampSlot { owner: 1, ..slots.get(place) });
    storage.remove_of_process(workload.pid());
    workload.end();
    assert_eq!(unread_ends(&mut sched), 1);
}

/// How many ends of threads without storage are counted, once there is one. A task is freed a grace period
/// after it was reaped, however long that takes.
fn unread_ends(sched: &mut Running) -> u64 {
    let end = Instant::now() + PATIENCE;
    let mut unread = 0;
    while unread == 0 && Instant::now() < end {
        thread::sleep(Duration::from_millis(100));
        sched.tick(&mut |sample| {
            let of_end = || sample.attributes.iter().any(|(_, value)| value == "exit_unread");
            if let Value::Increase(count) = sample.value
                && sample.metric.name == AGENT_LOST.name
                && of_end()
            {
                unread += count;
            }
        });
    }
    unread
}
