//! What is reported of memory, against what the kernel says elsewhere.

use monitor_tests::{Recorder, Workload, kernel, recorder::comm, serial};

/// Fails unless two counts differ by at most a hundredth.
fn within_a_hundredth(what: &str, reported: u64, expected: u64) {
    println!("{what}: {reported} reported, {expected} expected");
    let ratio = reported as f64 / expected as f64;
    assert!((ratio - 1.0).abs() <= 0.01, "{what}: {reported} reported, {expected} expected");
}

#[test]
fn faults_are_those_of_getrusage() {
    const PAGES: u64 = 3000;
    let _serial = serial();
    let recorder = Recorder::start(&kernel());
    let workload = Workload::start("mt-faults", ["faults", &PAGES.to_string()]);
    let numbers = workload.done();
    let [minor, major] = numbers[..] else { panic!("no numbers: {numbers:?}") };
    let pid = workload.pid();
    let totals = recorder.settle();
    workload.end();
    assert!(minor > 7 * PAGES && major >= PAGES, "the workload did not do its work: {numbers:?}");
    let counts = totals.of(|process| process.pid == pid || comm(process) == "mt-faults");
    within_a_hundredth("minor faults", counts.minor_faults, minor);
    within_a_hundredth("major faults", counts.major_faults, major);
}
