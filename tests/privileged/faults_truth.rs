//! How long major faults take, against the clock of the process that has them.

use monitor::metric::{MEMORY_FAULT_LATENCY, PROCESS_MEMORY_FAULT_LATENCY};
use monitor_tests::{Collector, Hist, Workload, kernel, serial};

#[test]
fn major_faults_take_as_long_as_reading_takes() {
    const PAGES: u64 = 500;
    let _serial = serial();
    let read = |pages: u64| {
        let workload = Workload::start("mt-reader", ["fault-times", &pages.to_string()]);
        let numbers = workload.done();
        workload.end();
        numbers
    };
    // The program itself is in memory from then on.
    read(1);
    let collector = Collector::start(&kernel(), "faults");
    let numbers = read(PAGES);
    let (faults, took) = numbers.split_first().expect("it has done something");
    let collected = collector.stop();
    assert!(collected.lost.values().all(|&lost| lost == 0), "{:?}", collected.lost);
    assert!(*faults >= PAGES * 9 / 10, "the pages were in memory: {faults} faults");

    let latency = collected.durations(&PROCESS_MEMORY_FAULT_LATENCY, "mt-reader", &[]);
    assert_eq!(latency.count(), *faults);
    // What took least were no faults; all that is beside one is getting into the kernel and out again.
    let mut took = took.to_vec();
    took.sort_unstable();
    let own = Hist::of(&took[took.len() - *faults as usize..]);
    let share = latency.sum as f64 / own.sum as f64;
    println!("{} ns in {faults} faults, {share:.4} of the process's own time", latency.sum);
    assert!((0.9..=1.0).contains(&share), "{share} of the process's own time");

    let host = collected.durations(&MEMORY_FAULT_LATENCY, "(host)", &[]);
    let groups = collected.durations_of_processes(&PROCESS_MEMORY_FAULT_LATENCY, &[]);
    assert_eq!((host.count(), host.sum), (groups.count(), groups.sum));
}
