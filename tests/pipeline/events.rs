//! Events of the kernel, found in Loki by their container.

use std::{
    fs,
    process::Command,
    time::{Duration, Instant},
};

use monitor_tests::{Workload, daemon::container::Container, serial};
use serde_json::Value;

use super::{
    daemon, loki,
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
        let query = format!(
            r#"{{service_name="monitor"}} | container_id="{}" | event_name="{event}" | process_executable_name="{command}""#,
            container.id
        );
        let record = wait(&query, || loki::query(addresses.loki, &query).into_iter().next());
        let took = since.elapsed();
        println!("{event} after {took:?}: {}", record.attributes);
        assert!(took < DEADLINE, "{event} is found after {took:?}");
        record.attributes
    };

    let start = Instant::now();
    let join = "for cgroup in $(echo $0 | tr , ' '); do echo 0 > $cgroup/cgroup.procs; done; exec sleep $1";
    let mut sleep =
        Command::new("sh").args(["-c", join, &cgroups, "0.25"]).spawn().expect("there is a shell");
    let pid = sleep.id();
    let exec = find("process.exec", "sleep", start);
    assert!(sleep.wait().expect("it is a child").success());
    assert_eq!(exec["process_pid"], pid.to_string());
    assert_eq!(exec["process_parent_pid"], std::process::id().to_string());
    assert_eq!(exec["process_command_args"], r#"["sleep","0.25"]"#);
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("the kernel has it");
    assert_eq!(exec["host_name"], host.trim());

    let start = Instant::now();
    let victim = Workload::start("mt-victim", ["oom", &cgroups, "64"]);
    let pid = victim.pid();
    victim.ended();
    let kill = find("process.oom_kill", "mt-victim", start);
    assert_eq!(kill["process_pid"], pid.to_string());
    let bytes = |name: &str| kill[name].as_str().and_then(|text| text.parse::<u64>().ok());
    assert!(bytes("monitor_memory_anonymous_bytes") > Some(1 << 20), "{kill}");
    assert_ne!(kill["monitor_memory_cgroup_name"], Value::Null);
}
