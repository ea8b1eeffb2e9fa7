//! What BPF programs have to say comes into the daemon's log, when it is asked for.

use monitor_tests::{Workload, serial};

use super::{program::Daemon, scrape::Scrape, sums::adds_up};

/// More than the table of exited threads has room for.
const NAMES: &str = "5000";

#[test]
fn words_of_bpf_programs_are_logged_and_a_full_table_is_counted() {
    let _serial = serial();
    let daemon = Daemon::start(["--log-bpf", "debug"]);
    // No tick while the children end, so that the table is not emptied.
    daemon.reload_interval(300, "log.level = \"info,sched=debug\"\n");
    let names = Workload::start("mt-names", ["names", NAMES]);
    names.done();
    names.end();
    daemon.reload("log.level = \"info,sched=debug\"\n");
    daemon.wait_ticks(1);
    let scrape = Scrape::text(&daemon);
    adds_up(&scrape);
    let labels = [("monitor_probe", "sched"), ("monitor_loss_reason", "exited_full")];
    let lost = scrape.value("monitor_agent_lost_total", &labels).expect("a ledger");
    assert!(lost > 0.0, "{NAMES} names fit into the table");
    let log = daemon.log();
    let says = "the table of exited threads is full: thread ";
    let lines: Vec<_> = log.lines().filter(|line| line.contains(says)).collect();
    let (first, logged) = (lines.first().copied().unwrap_or_default(), lines.len());
    assert!(first.contains("DEBUG") && first.ends_with(" goes to (other)"), "{logged}: {first}");
    println!("{lost} threads found the table full, {logged} lines in the log");
}
