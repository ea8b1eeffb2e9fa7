//! Events of the kernel, found in the log store by their container.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use monitor_tests::{Workload, daemon::container::Container, serial, sys};
use serde_json::Value;

use super::{
    daemon, logs, prometheus,
    setup::{Setup, wait},
};

/// How long it may take until an event is found.
const DEADLINE: Duration = Duration::from_secs(10);

#[test]
fn programs_and_victims_are_found_by_their_container() {
    let _serial = serial();
    let setup = Setup::new(&[]);
    let addresses = setup.pipeline.addresses;
    let _services = setup.start();
    let _daemon = daemon::start(addresses.collector.grpc);
    let container = Container::new(1);
    let memory = container.memory();
    memory.limit_memory(16 << 20);
    let cgroups = format!("{},{}", container.path(), memory.path().display());
    let find = |event: &str, command: &str, since: Instant| {
        let fields = [
            ("container.id", &*container.id),
            ("event.name", event),
            ("process.executable.name", command),
        ];
        let record = wait(event, || logs::find(addresses.logs, &fields).into_iter().next());
        let took = since.elapsed();
        println!("{event} after {took:?}: {record}");
        assert!(took < DEADLINE, "{event} is found after {took:?}");
        record
    };

    let start = Instant::now();
    let join = "for cgroup in $(echo $0 | tr , ' '); do echo 0 > $cgroup/cgroup.procs; done; exec sleep $1";
    let mut sleep =
        Command::new("sh").args(["-c", join, &cgroups, "0.25"]).spawn().expect("there is a shell");
    let pid = sleep.id();
    let exec = find("process.exec", "sleep", start);
    assert!(sleep.wait().expect("it is a child").success());
    assert_eq!(exec["process.pid"], pid.to_string());
    assert_eq!(exec["process.parent_pid"], std::process::id().to_string());
    assert_eq!(exec["process.command_args"], r#"["sleep","0.25"]"#);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("the kernel has it");
    assert_eq!(exec["host.name"], host.trim());

    let start = Instant::now();
    let victim = Workload::start("mt-victim", ["oom", &cgroups, "64"]);
    let pid = victim.pid();
    victim.ended();
    let kill = find("process.oom_kill", "mt-victim", start);
    assert_eq!(kill["process.pid"], pid.to_string());
    let bytes = |name: &str| kill[name].as_str().and_then(|text| text.parse::<u64>().ok());
    assert!(bytes("monitor.memory.anonymous_bytes") > Some(1 << 20), "{kill}");
    assert_ne!(kill["monitor.memory.cgroup.name"], Value::Null);
}

/// Each as an event, and the slowest of a tick as the example of its histogram.
#[test]
fn slow_waits_are_found_and_shown_as_exemplars() {
    const COMMAND: &str = "mt-starved";
    const TIMES: usize = 3;
    let _serial = serial();
    let setup = Setup::new(&[]);
    let addresses = setup.pipeline.addresses;
    let _services = setup.start();
    let _daemon = daemon::start(addresses.collector.grpc);
    // Beyond what is slow unless something else is said.
    let workload =
        Workload::start(COMMAND, ["starve", &sys::last_cpu(), &TIMES.to_string(), "150"]);
    let waits = workload.done();
    let fields = [("event.name", "process.slow"), ("process.executable.name", COMMAND)];
    let find = || logs::find(addresses.logs, &fields);
    let told = wait("slow waits", || {
        let records = find();
        // Once it may wake up when the machine keeps all programs from running.
        (records.len() + 1 >= TIMES).then_some(records)
    });
    let seconds = |event: &Value| -> f64 {
        logs::text(event, "monitor.latency_s").parse().expect("it is a number")
    };
    for event in &told {
        assert_eq!(event["monitor.metric"], "monitor.process.runqueue.latency");
        assert_eq!(event["process.pid"], workload.pid().to_string());
        assert_eq!(event["thread.id"], workload.pid().to_string());
        let is_it = |wait: &u64| (*wait as f64 / 1e9 - seconds(event)).abs() < 2e-3;
        assert!(waits.iter().any(is_it), "{event} is none of {waits:?}");
    }
    let selector = format!(
        r#"monitor_process_runqueue_latency_seconds{{process_executable_name="{COMMAND}"}}"#
    );
    let shown = wait("an exemplar", || {
        let exemplars = prometheus::exemplars(addresses.prometheus, &selector);
        (!exemplars.is_empty()).then_some(exemplars)
    });
    for (labels, value) in &shown {
        // Prometheus leaves the names of these as they are.
        assert_eq!(labels["process.pid"], workload.pid().to_string(), "{labels}");
        wait("the event of an exemplar", || {
            find().iter().any(|event| seconds(event) == *value).then_some(())
        });
    }
    println!("{} told, {} shown", told.len(), shown.len());
    workload.end();
}
