//! Latencies that are told one by one, and shown as examples of what histograms count.

use std::time::Duration;

use monitor_tests::{
    Workload,
    cgroup::Cgroup,
    disk::Loop,
    network::{End, Network},
    repeatable, serial, sys,
};
use serde_json::Value;

use super::{
    program::{Daemon, clean, executable},
    scrape::Scrape,
};

/// A daemon that tells latencies from these thresholds on in its log, so many of a tick.
fn start(slowest: u32, thresholds: &str) -> Daemon {
    let config = format!("[events]\nslowest = {slowest}\n[events.slow]\n{thresholds}\n");
    let args = ["--log-format", "json", "--log-level", "info,monitor::event=debug"];
    let daemon = Daemon::configured(clean(executable()), &config, args);
    daemon.wait_ready();
    daemon
}

/// More than there are.
const ALL: u32 = 1_000_000;

/// What a daemon told so far of a metric.
fn told(daemon: &Daemon, metric: &str) -> Vec<Value> {
    let log = daemon.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["event"] == "process.slow" && line["metric"] == metric).collect()
}

/// How long each took, in nanoseconds.
fn latencies(told: &[Value]) -> Vec<u64> {
    let seconds = told.iter().map(|line| line["latency_s"].as_f64().expect("it is told"));
    seconds.map(|seconds| (seconds * 1e9).round() as u64).collect()
}

#[test]
fn a_wait_for_a_cpu_is_told_and_shown_as_an_example() {
    const COMMAND: &str = "mt-starved";
    /// Between the clocks of the kernel and of the process: it wakes up, and then it runs.
    const TOLERANCE: Duration = Duration::from_millis(2);
    let _serial = serial();
    let daemon = start(ALL, "sched = \"50ms\"");
    let workload = Workload::start(COMMAND, ["starve", &sys::last_cpu(), "5", "120"]);
    let waits = workload.done();
    daemon.wait_ticks(1);
    // What is shown was told before.
    let scrape = Scrape::protobuf(&daemon);
    let all = told(&daemon, "monitor.process.runqueue.latency");
    let told: Vec<_> = all.iter().filter(|line| line["comm"] == COMMAND).cloned().collect();
    let latencies = latencies(&told);
    println!("waited {waits:?} ns, told {latencies:?} ns");
    let is_told = |wait: &&u64| {
        latencies.iter().any(|told| told.abs_diff(**wait) < TOLERANCE.as_nanos() as u64)
    };
    assert!(latencies.len() <= waits.len());
    // Once it may wake up when the machine keeps all programs from running.
    let found = waits.iter().filter(is_told).count();
    assert!(found + 1 >= waits.len(), "{found} of {}", waits.len());
    for line in &told {
        assert_eq!((&line["pid"], &line["tid"]), (&workload.pid().into(), &workload.pid().into()));
        assert_eq!(line["ppid"], Value::Null);
    }

    let shown = |name: &str, command: Option<&str>| {
        let mut examples = scrape.exemplars.iter().filter(|((other, labels), _)| {
            other == name && labels.get("process_executable_name").map(String::as_str) == command
        });
        let (_, (labels, value)) =
            examples.next().unwrap_or_else(|| panic!("no example of {name}"));
        let [pid, tid] = ["process_pid", "thread_id"].map(|name| labels[name].parse::<u32>().ok());
        let is_it = |line: &&Value| {
            line["latency_s"] == *value
                && (&line["pid"], &line["tid"]) == (&pid.into(), &tid.into())
                && line["comm"] == labels["process_executable_name"]
        };
        let example = all.iter().find(is_it);
        example.unwrap_or_else(|| panic!("{labels:?} {value} was not told")).clone()
    };
    let example = shown("monitor_process_runqueue_latency_seconds", Some(COMMAND));
    assert_eq!(example["comm"], COMMAND);
    // Threads of the kernel were kept waiting too.
    shown("monitor_sched_runqueue_latency_seconds", None);
    workload.end();
}

/// Who waits for a quota does not contend for a CPU.
#[test]
fn a_throttled_wait_is_told_as_such() {
    const COMMAND: &str = "mt-throttled";
    const PERIOD_US: u32 = 1_000_000;
    let _serial = serial();
    let daemon = start(ALL, "sched = \"500ms\"");
    let cgroup = Cgroup::new("slow", 10_000, PERIOD_US);
    let path = cgroup.path().to_str().expect("plain letters");
    let hog = Workload::start(COMMAND, ["hog", &sys::last_cpu(), path, "30"]);
    hog.done();
    daemon.wait_ticks(1);
    let told = |metric| -> u64 {
        let mut told = told(&daemon, metric);
        told.retain(|line| line["comm"] == COMMAND);
        latencies(&told).iter().sum()
    };
    let (throttled, expected) =
        (told("monitor.process.cpu.throttled.latency"), cgroup.throttled_ns());
    println!("told {throttled} ns of {expected}");
    // The last may be shorter than the threshold.
    assert!(throttled * 2 > expected && throttled <= expected, "{throttled} of {expected}");
    assert_eq!(told("monitor.process.runqueue.latency"), 0);
    hog.end();
}

/// With a threshold that none is below, all are told: as many, and as long together, as are counted.
#[test]
fn what_is_told_adds_up_to_what_is_counted() {
    let _serial = serial();
    // Others may begin to use a disk while this does.
    repeatable(adds_up);
}

fn adds_up() {
    const COMMAND: &str = "mt-asks";
    let daemon = start(ALL, "block = \"1ns\"\nnet = \"1ns\"");
    let check =
        |metric: &str, series: (&str, &[(&str, &str)]), is_meant: &dyn Fn(&Value) -> bool| {
            let mut told = told(&daemon, metric);
            told.retain(is_meant);
            let latencies = latencies(&told);
            let scrape = Scrape::text(&daemon);
            let (name, labels) = series;
            let value = |part: &str| {
                let values = scrape.values(&format!("{name}_{part}"), labels);
                values.iter().sum::<f64>()
            };
            let sum = latencies.iter().sum::<u64>() as f64 / 1e9;
            println!("{name}{labels:?}: {} in {sum} s told", latencies.len());
            assert!(!latencies.is_empty(), "{name}");
            assert_eq!(latencies.len() as f64, value("count"), "{name}");
            assert!((sum - value("sum")).abs() < 1e-9, "{name}: {sum} s told, {} s", value("sum"));
        };

    let no_room = || {
        let scrape = Scrape::text(&daemon);
        ["block", "net"].map(|probe| {
            let labels = [("monitor_probe", probe), ("monitor_loss_reason", "ring_full")];
            scrape.value("monitor_agent_lost_total", &labels).expect("it is counted")
        })
    };
    // A few hundred requests of others to any disk in a tick leave no room for those of this test.
    let before = daemon.wait("others to leave room", || {
        let before = no_room();
        daemon.wait_ticks(1);
        (no_room() == before).then_some(before)
    });
    let disk = Loop::in_memory(16);
    // fio would not do: where its libraries are not in the page cache, its start alone leaves no room.
    let writer = Workload::start("mt-writes", ["disk-sync", &disk.path, "0", "50"]);
    writer.done();
    writer.end();
    let network = Network::new();
    let address = network.ipv4(End::Far);
    let server = Workload::start("mt-serves", ["tcp-serve", network.name(End::Far), address]);
    let port = server.done()[0].to_string();
    let args = ["tcp-connect", network.name(End::Near), address, &port, "40"];
    let client = Workload::start(COMMAND, args);
    client.done();
    let pid = client.pid();
    client.end();
    server.end();
    daemon.wait_ticks(2);
    assert_eq!(no_room(), before, "others left no room");

    let device = format!("system.device={}", disk.name);
    let is_of_disk =
        |line: &Value| line["subject"].as_str().is_some_and(|subject| subject.starts_with(&device));
    let labels = [("system_device", disk.name.as_str())];
    let series = ("monitor_block_device_latency_seconds", &labels[..]);
    check("monitor.process.block.device.latency", series, &is_of_disk);
    let series = ("monitor_process_block_device_latency_seconds", &labels[..]);
    check("monitor.process.block.device.latency", series, &is_of_disk);
    let is_clients = |line: &Value| line["pid"] == pid;
    let labels = [("process_executable_name", COMMAND)];
    let series = ("monitor_process_tcp_connect_latency_seconds", &labels[..]);
    check("monitor.process.tcp.connect.latency", series, &is_clients);
    let labels = [("server_address", address), ("server_port", &port)];
    let series = ("monitor_tcp_connect_latency_seconds", &labels[..]);
    check("monitor.process.tcp.connect.latency", series, &is_clients);
}

/// What there is no room for is counted, and what others are slower than.
#[test]
fn what_is_not_told_is_counted() {
    const SLOWEST: u8 = 7;
    let _serial = serial();
    let daemon = start(SLOWEST.into(), "sched = \"1ns\"");
    daemon.wait_ticks(3);
    let workload = Workload::start("mt-pairs", ["threads", "40", "200"]);
    workload.done();
    workload.end();
    daemon.wait_ticks(2);
    let scrape = Scrape::text(&daemon);
    let not_told = |reason| {
        let labels = [("monitor_probe", "sched"), ("monitor_loss_reason", reason)];
        scrape.value("monitor_agent_lost_total", &labels).expect("it is counted")
    };
    let (lost, suppressed) = (not_told("ring_full"), not_told("suppressed"));
    let ticks = daemon.get("/health").json()["tick"].as_u64().expect("ticks are numbered");
    let told = told(&daemon, "monitor.process.runqueue.latency").len();
    let counted: f64 =
        scrape.values("monitor_sched_runqueue_latency_seconds_count", &[]).iter().sum();
    println!("{told} told in {ticks} ticks, {lost} and {suppressed} not, {counted} counted");
    assert!(lost > 0.0 && suppressed > 0.0);
    // One more may be under way.
    assert!(told as u64 <= u64::from(SLOWEST) * (ticks + 1));
    // Waits of no time at all are not told, and there may be some that no group was given yet.
    let off = (told as f64 + lost + suppressed) / counted - 1.0;
    assert!(off.abs() < 0.05, "{told}, {lost} and {suppressed} of {counted}");
}
