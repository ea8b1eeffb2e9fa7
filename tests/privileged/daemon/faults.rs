//! The `faults` probe where it does not see the beginning of every fault.

use monitor_tests::{Workload, serial};

use super::{
    program::{Daemon, Directory, with_file_at},
    scrape::Scrape,
};

/// A CPU that the daemon does not know of is like one that has come online since its last tick.
#[test]
fn a_fault_whose_beginning_was_not_seen_has_no_latency() {
    const NAME: &str = "mt-moved";
    let _serial = serial();
    let directory = Directory::new();
    let online = directory.file("online", "0\n");
    let program = with_file_at("/sys/devices/system/cpu/online", &online);
    let daemon = Daemon::configured(program, "[probes]\nfaults = true\n", []);
    daemon.wait_ready();
    let reader = Workload::start(NAME, ["fault-moves", "100"]);
    let took: u64 = reader.done().iter().sum();
    reader.end();
    daemon.wait_ticks(2);
    let scrape = Scrape::text(&daemon);
    let label = [("process_executable_name", NAME)];
    let sum = scrape.value("monitor_process_memory_fault_latency_seconds_sum", &label);
    let (sum, took) = (sum.unwrap_or_default(), took as f64 / 1e9);
    let reason = [("monitor_probe", "faults"), ("monitor_loss_reason", "unmatched")];
    let unmatched = scrape.value("monitor_agent_lost_total", &reason);
    println!("{sum} s of its own {took} s, {unmatched:?} beginnings not seen");
    assert!(sum <= took, "{sum} s in faults that took {took} s");
    assert!(unmatched.is_some_and(|count| count > 0.0), "it was never moved in time");
}
