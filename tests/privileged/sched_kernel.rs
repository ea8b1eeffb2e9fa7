//! What the kernel does for the `sched` probe: it lets it wait for programs, and leaves nothing behind.

use std::{thread, time::Duration};

use monitor_tests::{Workload, objects::Held, serial};

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
