//! Bad input and missing rights: one clear error, or a daemon that does what it can and says what
//! it cannot.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use monitor_tests::serial;
use serde_json::Value;

use super::program::{Daemon, Directory, Ended, clean, executable, monitor, run};

/// Runs `monitor run` with a configuration of this text.
fn with_config(text: &str) -> (Ended, String) {
    let directory = Directory::new();
    let path = directory.file("monitor.toml", text);
    let path = path.to_str().expect("plain letters");
    (monitor(["run", "--listen", "127.0.0.1:0", "--config", path]), path.to_owned())
}

/// Fails unless a command failed with this message alone.
#[track_caller]
fn fails(ended: &Ended, message: &str) {
    assert_eq!(ended.stderr, format!("monitor: {message}\n"));
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
}

#[test]
fn unknown_keys_are_named_with_their_line_and_the_nearest() {
    let (ended, path) = with_config("interval = \"1s\"\nlisen = \"127.0.0.1:1\"\n");
    fails(&ended, &format!("{path}:2: unknown key `lisen`; did you mean `listen`?"));
    let (ended, path) = with_config("[probes]\nshed = true\n");
    fails(&ended, &format!("{path}:2: unknown probe `shed`; did you mean `sched`?"));
}

#[test]
fn values_of_the_wrong_type_are_named_with_their_line() {
    let (ended, path) = with_config("\n[groups]\ntop = \"many\"\n");
    fails(&ended, &format!("{path}:3: invalid type: string \"many\", expected a whole number"));
    let (ended, path) = with_config("interval = 1\n");
    fails(&ended, &format!("{path}:1: invalid type: integer `1`, expected text in quotes"));
    let (ended, path) = with_config("\ninterval = \"1ms\"\n");
    fails(
        &ended,
        &format!("{path}:2: interval = 1ms is out of range: at least 100ms, at most 300s"),
    );
}

#[test]
fn a_named_file_must_be_there() {
    let ended = monitor(["run", "--config", "/nonexistent/monitor.toml"]);
    let message = "cannot read the configuration /nonexistent/monitor.toml: No such file or \
                   directory (os error 2); name another with --config";
    fails(&ended, message);
}

#[test]
fn log_levels_that_are_none_are_errors() {
    for level in ["loud", "info,monitor=loud", "a=b=c"] {
        let ended = monitor(["run", "--listen", "127.0.0.1:0", "--log-level", level]);
        let error = &ended.stderr;
        assert!(error.starts_with(&format!("monitor: log.level = \"{level}\" is no ")), "{error}");
        assert!(error.ends_with("; use info, or info,monitor::probe=debug\n"), "{error}");
        assert_eq!((error.lines().count(), ended.code), (1, Some(1)), "{error}");
    }
}

#[test]
fn what_cannot_be_understood_is_an_error_of_usage() {
    for (args, says) in [
        (&[][..], "Usage: monitor <COMMAND>"),
        (&["sing"], "unrecognized subcommand 'sing'"),
        (&["run", "--frobnicate"], "unexpected argument '--frobnicate'"),
        (&["run", "--listen", "nowhere"], "'nowhere' for '--listen <ADDRESS:PORT>'"),
        (&["run", "--interval", "soon"], "'soon' for '--interval <"),
        (&["check", "--format", "prose"], "'prose' for '--format <"),
    ] {
        let ended = monitor(args.iter().copied());
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}");
        assert!(ended.stderr.contains(says), "{args:?}: {}", ended.stderr);
    }
}

#[test]
fn a_port_in_use_is_named_with_the_way_out() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let address = taken.local_addr().expect("it is bound").to_string();
    let ended = monitor(["run", "--listen", &address]);
    let message = format!(
        "cannot listen on {address}: Address already in use (os error 98); choose another with \
         --listen"
    );
    fails(&ended, &message);
}

#[test]
fn without_a_daemon_top_says_how_to_start_one() {
    // The port is free again when `top` asks.
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let address = free.local_addr().expect("it is bound").to_string();
    drop(free);
    let ended = monitor(["top", "--address", &address, "--count", "1"]);
    let message = format!(
        "no daemon answers on {address}; start one with `monitor run`: Connection refused (os \
         error 111)"
    );
    fails(&ended, &message);
}

/// A copy of the program where a user without rights may run it.
fn copy(directory: &Directory) -> PathBuf {
    let path = directory.path("monitor");
    fs::copy(executable(), &path).expect("the directory is ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("as above");
    path
}

/// A program as a user without rights starts it.
fn as_nobody(program: &Path) -> Command {
    let mut command = clean("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program);
    command
}

/// The program where the kernel's types are hidden from it.
fn without_types() -> Command {
    let mut command = clean("unshare");
    let script = "mount -t tmpfs none /sys/kernel/btf && exec \"$0\" \"$@\"";
    command.args(["--mount", "sh", "-c", script]).arg(executable());
    command
}

/// Fails unless a daemon runs without its probe, and says why in every place, and so does `check`.
fn degraded(start: &dyn Fn() -> Command, says: &[&str]) {
    let daemon = Daemon::launch(start(), []);
    daemon.wait_ready();
    let health = daemon.get("/health");
    assert_eq!(health.status, 200);
    let health = health.json();
    assert_eq!(health["status"], "degraded");
    let probe = &health["probes"][0];
    assert_eq!((&probe["probe"], &probe["state"]), (&"sched".into(), &"failed".into()));
    let log = daemon.log();
    let metrics = daemon.get("/metrics");
    let state =
        "monitor_agent_probe_state{monitor_probe=\"sched\",monitor_probe_state=\"failed\"} 1";
    assert!(metrics.text().contains(state), "the state of the probe is no metric");
    // What needs no rights is measured all the same.
    assert!(metrics.text().contains("\nsystem_cpu_time_seconds_total{"), "no gauges");

    let processes = daemon.get("/api/v1/processes").json();
    let not_measured = processes["not_measured"].as_str().expect("nothing says why there are none");
    let address = daemon.address.to_string();
    let top = monitor(["top", "--address", &address, "--count", "1"]);
    assert_eq!(top.code, Some(1), "{top:?}");

    let [table, json] = ["table", "json"].map(|format| {
        let mut check = start();
        check.args(["check", "--format", format]);
        run(check)
    });
    assert_eq!((table.code, json.code), (Some(1), Some(1)));
    let checked: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    assert_eq!(checked["probes"][0]["state"], "failed");
    let reason = probe["reason"].as_str().expect("there is a reason");
    let checked = checked["probes"][0]["reason"].as_str().expect("there is a reason");
    for said in [reason, checked, &log, &table.stdout, not_measured, &top.stdout] {
        for words in says {
            assert!(said.contains(words), "nothing of {words:?} in: {said}");
        }
    }
}

#[test]
fn without_root_it_runs_and_says_what_it_lacks() {
    let _serial = serial();
    let directory = Directory::new();
    let says = ["cannot load the sched programs", "Operation not permitted", "run as root"];
    let program = copy(&directory);
    degraded(&|| as_nobody(&program), &says);
}

#[test]
fn without_the_kernels_types_it_runs_and_says_what_it_lacks() {
    let _serial = serial();
    let says = ["/sys/kernel/btf/vmlinux", "No such file or directory", "CONFIG_DEBUG_INFO_BTF"];
    degraded(&without_types, &says);
}

#[test]
fn without_the_hosts_proc_it_measures_what_the_kernel_tells() {
    let _serial = serial();
    let daemon = Daemon::start(["--host-proc", "/nonexistent"]);
    let health = daemon.get("/health").json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["probes"][0]["state"], "active");
    let problems = health["problems"].as_array().expect("it is a list");
    for what in
        ["cannot read the host's mounts from /nonexistent/", "cpu not measured: cannot read"]
    {
        let problem = problems.iter().filter_map(Value::as_str).find(|it| it.starts_with(what));
        let problem = problem.unwrap_or_else(|| panic!("{what:?} is not in {problems:?}"));
        assert!(problem.contains("/nonexistent/") && problem.contains("--host-proc"), "{problem}");
    }
    let metrics = daemon.get("/metrics");
    assert!(metrics.text().contains("\nmonitor_process_cpu_time_seconds_total{"));
    assert!(!metrics.text().contains("\nsystem_cpu_time_seconds_total{"));
}
