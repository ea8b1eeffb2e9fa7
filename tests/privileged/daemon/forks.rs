//! What processes used that lived for a millisecond is not lost.

use monitor_tests::{Workload, proc::Counters, serial};

use super::{program::Daemon, scrape::Scrape};

/// Processes, and how long each uses a CPU in microseconds.
const FORKS: u64 = 5000;
const TIME_US: u64 = 1000;

/// What the workload calls itself and its children.
const NAME: &str = "mt-forked";

/// On-CPU time of the command in seconds.
fn cpu_time(scrape: &Scrape) -> f64 {
    let labels = [("process_executable_name", NAME)];
    scrape.value("monitor_process_cpu_time_seconds_total", &labels).unwrap_or(0.0)
}

/// Losses of the probe that would show in what processes used. Others are of latencies: of wakeups
/// that a virtual machine's kernel does not report, and of threads that it hides from a pass over all
/// tasks, as it may do with those of its first process.
fn lost(scrape: &Scrape) -> Vec<(String, f64)> {
    let lost = scrape.all("monitor_agent_lost_total");
    lost.filter(|(labels, _)| labels["monitor_probe"] == "sched")
        .map(|(labels, lost)| (labels["monitor_loss_reason"].clone(), lost))
        .filter(|(reason, _)| !["no_storage", "unmatched"].contains(&reason.as_str()))
        .collect()
}

#[test]
fn five_thousand_short_processes_are_counted_in_full() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    let before = Scrape::text(&daemon);
    let storm = Workload::start("mt-forks", ["forks", &FORKS.to_string(), &TIME_US.to_string()]);
    let reported = storm.done();
    // The parent has the same name.
    let parent = Counters::of_idle_process(storm.pid()).cpu_ns;
    let [children, .., by_rusage] = reported[..] else { panic!("no numbers: {reported:?}") };
    let used = (children + parent) as f64 / 1e9;
    daemon.wait_ticks(2);
    let after = Scrape::text(&daemon);
    storm.end();

    let counted = cpu_time(&after) - cpu_time(&before);
    println!(
        "counted {counted} s; children {children} ns, by rusage {by_rusage} ns, parent {parent} ns"
    );
    assert!(children >= FORKS * TIME_US * 1000, "the children did not do their work");
    assert!((counted / used - 1.0).abs() < 0.01, "counted {counted} s, used {used} s");
    let by_rusage = (by_rusage + parent) as f64 / 1e9;
    assert!((counted / by_rusage - 1.0).abs() < 0.01, "counted {counted} s, rusage {by_rusage} s");
    assert_eq!(lost(&after), lost(&before));
    assert!(!lost(&after).is_empty(), "no ledger");
}
