//! What is told of single processes in the daemon's log.

use monitor_tests::{Workload, serial};
use serde_json::Value;

use super::program::Daemon;

/// The secrets in the arguments of [`executed`].
const SECRETS: [&str; 4] = ["hunter2", "s3cr3t", "tok3n", "pa55"];

/// The event of a program with secrets in its arguments, as the daemon logs it under a policy; and all
/// that it logs.
fn executed(policy: &str) -> (Value, String) {
    let level = "info,monitor::event=debug";
    let args = ["--log-format", "json", "--log-level", level, "--events-argv", policy];
    let daemon = Daemon::start(args);
    let args = [
        "nothing",
        "--password",
        SECRETS[0],
        "--db-secret=s3cr3t",
        "API_TOKEN=tok3n",
        "postgres://me:pa55@db/x",
        "plain",
    ];
    let workload = Workload::start("mt-secret", args);
    let pid = workload.pid();
    workload.end();
    let find = |event: &str| {
        daemon.wait(event, || {
            let log = daemon.log();
            let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            lines.find(|line| line["event"] == event && line["pid"] == pid)
        })
    };
    let exec = find("process.exec");
    let exit = find("process.exit");
    assert_eq!((&exit["comm"], &exit["exit_code"]), (&"mt-secret".into(), &0.into()));
    assert_eq!(exit["ppid"], std::process::id());
    assert!(exit["peak_rss_bytes"].as_u64() > Some(100_000), "{exit}");
    let lifetime = exit["lifetime_s"].as_f64().expect("a number");
    assert!(lifetime > 0.0 && lifetime < 20.0, "{exit}");
    assert_eq!(exec["target"], "monitor::event");
    (exec, daemon.log())
}

#[test]
fn secrets_in_arguments_are_masked() {
    let _serial = serial();
    let (exec, log) = executed("masked");
    let argv = exec["argv"].as_str().expect("it is told");
    let told = "nothing --password *** --db-secret=*** API_TOKEN=*** postgres://me:***@db/x plain";
    assert!(argv.ends_with(told), "{argv}");
    for secret in SECRETS {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn arguments_are_told_in_full_or_not_at_all_if_asked_for() {
    let _serial = serial();
    let (exec, _) = executed("full");
    let argv = exec["argv"].as_str().expect("it is told");
    assert!(SECRETS.iter().all(|secret| argv.contains(secret)), "{argv}");
    let (exec, log) = executed("off");
    assert_eq!(exec["argv"], Value::Null);
    assert!(!log.contains("plain"), "arguments are in the log");
}
