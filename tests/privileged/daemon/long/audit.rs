//! The self-audit of a running daemon: a wrong offset degrades its probe within three minutes.

use std::{
    thread,
    time::{Duration, Instant},
};

use monitor_tests::serial;
use serde_json::Value;

use crate::{
    audit::Requests,
    btf::Types,
    program::{Daemon, Directory},
    scrape::Scrape,
};

const LIMIT: Duration = Duration::from_secs(180);

/// The state of a probe, and why it is not active.
fn probe(health: &Value, name: &str) -> (String, String) {
    let probes = health["probes"].as_array().expect("it is a list");
    let probe = probes.iter().find(|probe| probe["probe"] == name).expect("it is in the list");
    let text = |key: &str| probe[key].as_str().unwrap_or_default().to_owned();
    (text("state"), text("reason"))
}

#[test]
fn wrong_offsets_degrade_their_probes_within_three_minutes() {
    let _serial = serial();
    let directory = Directory::new();
    let types = Types::of_this_kernel().exchange("request", "__data_len", "timeout").exchange(
        "task_struct",
        "nvcsw",
        "utime",
    );
    let requests = Requests::start();
    let daemon = Daemon::launch(types.program(&directory), []);
    let begin = Instant::now();
    daemon.wait_ready();
    assert_eq!(probe(&daemon.get("/health").json(), "block").0, "active");
    let health = loop {
        let health = daemon.get("/health").json();
        if ["block", "sched"].iter().all(|name| probe(&health, name).0 == "degraded") {
            break health;
        }
        assert!(begin.elapsed() < LIMIT, "no wrong count was found: {health}");
        thread::sleep(Duration::from_secs(1));
    };
    println!("degraded after {:?}", begin.elapsed());
    // The offset spoils the counts of every disk, and the reason is the first of them.
    let (_, reason) = probe(&health, "block");
    assert!(reason.starts_with("audit: ") && reason.contains("/proc/diskstats"), "{reason}");
    let (_, reason) = probe(&health, "sched");
    assert!(reason.starts_with("audit: process_context_switches: measured "), "{reason}");
    assert_eq!(health["status"], "degraded");
    let log = daemon.log();
    let writes =
        format!("audit: writes of {}: measured 0, /proc/diskstats counted ", requests.disk());
    assert_eq!(log.matches(&writes).count(), 1, "{log}");
    let labels = [("monitor_audit_counter", "writes"), ("system_device", requests.disk())];
    assert_eq!(Scrape::text(&daemon).value("monitor_agent_audit_ratio", &labels), Some(0.0));
}
