//! What operators and other programs read: `/health`, `/ready`, the API, and the commands.

use std::{
    collections::{BTreeMap, BTreeSet},
    os::unix::process::ExitStatusExt,
    process::Command,
};

use monitor::{
    kernel::attach::{Alternative, Hook, Target},
    probe::PROBES,
};
use monitor_tests::{Workload, cgroup::Cgroup, command::run, disk::Loop, proc::Counters, serial};
use serde_json::Value;

use super::{
    program::{Daemon, Directory, clean, executable, monitor},
    scrape::Scrape,
    security::certificate,
};

#[test]
fn it_is_ready_after_the_first_tick() {
    let _serial = serial();
    let daemon = Daemon::launch(clean(executable()), ["--interval", "2s"]);
    let early = daemon.get("/ready");
    assert_eq!((early.status, early.text()), (503, "not ready: the first tick has not ended\n"));
    assert_eq!(daemon.get("/health").json()["tick"], 0);
    daemon.wait_ready();
    assert_eq!(daemon.get("/ready").text(), "ready\n");
    assert!(daemon.get("/health").json()["tick"].as_u64() >= Some(1));
}

/// Whether a kernel without trampolines cannot have a hook: there is no tracepoint for it.
fn is_at_function(hook: &Hook) -> bool {
    let at_function =
        |way: &Alternative| matches!(way.target, Target::FEntry(_) | Target::FExit(_));
    hook.alternatives.iter().all(at_function)
}

/// A configuration with those probes too that are off by default.
const ALL_PROBES: &str = "[probes]\nfaults = true\n";

/// A daemon with all probes.
fn with_all_probes<'a>(program: Command, args: impl IntoIterator<Item = &'a str>) -> Daemon {
    let daemon = Daemon::configured(program, ALL_PROBES, args);
    daemon.wait_ready();
    daemon
}

/// Fails unless there are all probes with all their hooks, each attached in one of its ways. Some
/// kernels have no hooks at functions, and then it must say what is not measured.
fn is_attached(probes: &Value) {
    let probes = probes.as_array().expect("it is a list");
    assert_eq!(probes.len(), PROBES.len());
    for (probe, desc) in probes.iter().zip(PROBES) {
        assert_eq!((&probe["probe"], &probe["state"]), (&desc.name.into(), &"active".into()));
        let hooks = probe["hooks"].as_array().expect("it is a list");
        let names: BTreeSet<_> = hooks.iter().map(|verdict| verdict["hook"].as_str()).collect();
        assert_eq!(names.len(), hooks.len(), "a hook has two verdicts: {hooks:?}");
        // Hooks that only some kernels need are in no table: they are tried only where they are needed.
        for verdict in hooks {
            let is_listed = desc.hooks.iter().any(|hook| verdict["hook"] == hook.name);
            assert!(is_listed || verdict["state"] == "attached", "{verdict}");
        }
        for hook in desc.hooks {
            let verdict = hooks.iter().find(|verdict| verdict["hook"] == hook.name);
            let verdict = verdict.unwrap_or_else(|| panic!("no {} in {hooks:?}", hook.name));
            if is_at_function(hook) && verdict["state"] == "unavailable" {
                assert!(verdict["reason"].is_string(), "{verdict}");
                assert!(verdict["without"].is_string(), "{verdict}");
                continue;
            }
            assert_eq!(verdict["state"], "attached", "{verdict}");
            let mut ways = hook.alternatives.iter().map(|way| way.target.to_string());
            assert!(ways.any(|way| verdict["by"] == way), "{verdict}");
        }
    }
}

#[test]
fn health_has_the_verdict_on_every_hook() {
    let _serial = serial();
    let daemon = with_all_probes(clean(executable()), []);
    let answer = daemon.get("/health");
    assert!(answer.status == 200 && answer.head.contains("application/json"), "{}", answer.head);
    let health = answer.json();
    is_attached(&health["probes"]);
    // What this host does not have is no problem.
    assert!(health["absent"].is_array(), "{health}");
    assert_eq!((&health["status"], &health["problems"]), (&"ok".into(), &Value::Array(Vec::new())));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["tick_age_seconds"].as_f64().is_some_and(|age| age < 10.0), "{health}");

    let log = daemon.log();
    assert!(!log.contains('\x1b'), "colours in a file: {log}");
    let nothing = daemon.get("/nothing");
    assert_eq!(nothing.status, 404);
    assert!(nothing.json()["error"].is_string());
}

#[test]
fn check_has_the_verdict_on_every_hook() {
    let _serial = serial();
    let directory = Directory::new();
    let config = directory.file("monitor.toml", ALL_PROBES);
    let config = config.to_str().expect("plain letters");
    let json = monitor(["check", "--format", "json", "--config", config]);
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""));
    let report: Value = serde_json::from_str(&json.stdout).expect("it is JSON");
    is_attached(&report["probes"]);
    assert!(report["problems"].is_array(), "{report}");
    let table = monitor(["check", "--config", config]);
    assert_eq!(table.code, Some(0));
    for hook in PROBES.iter().flat_map(|probe| probe.hooks) {
        let mut lines =
            table.stdout.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|words| words.first() == Some(&hook.name));
        let is_there = line.is_some_and(|words| {
            is_at_function(hook) && words[1] == "unsupported:" || words[1..3] == ["attached", "by"]
        });
        assert!(is_there, "no {} in {}", hook.name, table.stdout);
    }
}

/// The row of a process in the last tick, with the number and the length of the tick.
fn row(daemon: &Daemon, process: &Workload) -> (u64, f64, Option<Value>) {
    let answer = daemon.get("/api/v1/processes?limit=1000").json();
    let rows = answer["processes"].as_array().expect("it is a list");
    let row = rows.iter().find(|row| row["pid"] == process.pid()).cloned();
    let seconds = answer["interval_seconds"].as_f64().expect("a number");
    (answer["tick"].as_u64().expect("ticks are numbered"), seconds, row)
}

#[test]
fn a_hog_is_shown_with_its_pid_and_its_share_of_a_cpu() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    // From its first tick to its last.
    let hog = Workload::start("mt-burner", ["hog", "-", "-", "3000"]);
    let mut shown = BTreeMap::new();
    daemon.wait("the hog to come to rest", || {
        let (tick, seconds, row) = row(&daemon, &hog);
        let Some(row) = row else { return (!shown.is_empty()).then_some(()) };
        shown.insert(tick, row["cpu"].as_f64().expect("a number") * seconds);
        None
    });
    assert!(
        shown.keys().is_sorted_by(|one, next| *one + 1 == **next),
        "ticks were missed: {shown:?}"
    );
    let (shown, used): (f64, _) =
        (shown.values().sum(), Counters::of_idle_process(hog.pid()).cpu_ns as f64 / 1e9);
    println!("{shown} s of CPU time are shown, {used} s used");
    assert!((shown / used - 1.0).abs() < 0.01, "{shown} s of CPU time are shown, {used} s used");

    let hog = Workload::start("mt-hog", ["hog", "-", "-", "60000"]);
    let row = daemon.wait("the hog to be shown", || row(&daemon, &hog).2);
    assert_eq!(row["name"], "mt-hog");
    for number in ["runs", "runqueue_seconds", "throttled_seconds", "offcpu_seconds", "switches"] {
        assert!(row[number].is_number(), "no {number} in {row}");
    }

    let address = daemon.address.to_string();
    let top = monitor(["top", "--address", &address, "--count", "1", "--limit", "1000"]);
    assert_eq!((top.code, top.stderr.as_str()), (Some(0), ""));
    let begin = [hog.pid().to_string(), "mt-hog".to_owned()];
    let line = top.stdout.lines().find(|line| line.split_whitespace().take(2).eq(&begin));
    let line = line.unwrap_or_else(|| panic!("no hog in\n{}", top.stdout));
    assert!(line.split_whitespace().nth(2).is_some_and(|cpu| cpu.ends_with('%')), "{line}");
    assert_eq!(top.stdout.matches("PID").count(), 1);
    assert!(top.stdout.contains(&format!("http://{address}/metrics")), "{}", top.stdout);
}

#[test]
fn the_first_table_holds_one_interval_and_nothing_from_before() {
    let _serial = serial();
    let hog = Workload::start("mt-always", ["hog", "-", "-", "60000"]);
    let daemon = Daemon::start([]);
    let share = |what| {
        let of_cpu = daemon.wait(what, || row(&daemon, &hog).2?["cpu"].as_f64());
        println!("{what}: {of_cpu} of a CPU");
        // It has one thread, which always wants to run.
        assert!((0.25..1.02).contains(&of_cpu), "{what}: {of_cpu} of a CPU");
    };
    // What is counted while the other probes are attached is not of this interval.
    share("the first table");
    daemon.reload("probes.sched = false\n");
    daemon.wait("the probe's end", || row(&daemon, &hog).2.is_none().then_some(()));
    daemon.reload("");
    // It was not counted yet for most of the tick that ends with the reload.
    share("the first table after the probe was off");
}

#[test]
fn the_catalogue_is_what_is_exposed() {
    let _serial = serial();
    // Nobody listens there, which is exposed as well.
    let directory = Directory::new();
    let [certificate, key] = certificate(&directory, "client");
    let mut program = clean(executable());
    program
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &certificate)
        .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &certificate)
        .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", key);
    let daemon = with_all_probes(program, ["--otlp-endpoint", "https://127.0.0.1:1"]);
    let disk = Loop::in_memory(16);
    run("dd", &[&format!("if={}", disk.path), "of=/dev/null", "bs=1M", "count=1", "iflag=direct"]);
    // Somebody who gets no more memory, and somebody who moves it.
    let cgroup = Cgroup::with_memory("surfaces", 16 << 20);
    let path = cgroup.path().to_str().expect("plain letters");
    let hog = Workload::start("mt-oom-hog", ["oom", path, "32"]).ended();
    assert_eq!(hog.signal(), Some(libc::SIGKILL), "the hog was not killed: {hog}");
    // A process that its CPU quota throttles.
    let quota = Cgroup::new("surfaces", 1000, 50_000);
    let path = quota.path().to_str().expect("plain letters");
    let hog = Workload::start("mt-throttled", ["hog", "-", path, "5"]);
    hog.done();
    hog.end();
    let compacting = Workload::start("mt-compact", ["compact", "1"]);
    compacting.done();
    compacting.end();
    let reader = Workload::start("mt-reader", ["fault-times", "10"]);
    reader.done();
    reader.end();
    // Rates and shares need two ticks, and the self-audit needs some seconds.
    let audited =
        || Scrape::text(&daemon).names.contains("monitor_agent_audit_ratio").then_some(());
    daemon.wait("a round of the self-audit", audited);
    let listed = monitor(["metrics", "--format", "json"]);
    assert_eq!((listed.code, listed.stderr.as_str()), (Some(0), ""));
    let listed: Vec<Value> = serde_json::from_str(&listed.stdout).expect("it is JSON");
    let name = |metric: &Value| metric["prometheus"].as_str().expect("it has a name").to_owned();
    let listed: BTreeSet<_> = listed.iter().map(name).collect();

    let mut exposed = Scrape::text(&daemon).names;
    assert_eq!(exposed, Scrape::protobuf(&daemon).names, "the forms differ");
    // What OpenTelemetry has Prometheus call the resource; it is no metric.
    assert!(exposed.remove("target_info"));
    let unlisted: Vec<_> = exposed.difference(&listed).collect();
    assert!(unlisted.is_empty(), "not in the catalogue: {unlisted:?}");
    // What a host may not have: sensors, swap space, pressure, containers and units, the kernel's BPF
    // statistics, hooks at functions, disks that get commands of their driver: loop devices get none.
    let may_lack = |name: &str| {
        name.starts_with("hw_")
            || [
                "pressure",
                "paging",
                "agent_bpf_runs",
                "agent_bpf_time",
                "monitor_cgroup_",
                "tcp_accept_latency",
                "block_passthrough",
            ]
            .iter()
            .any(|part| name.contains(part))
    };
    let missing: Vec<_> = listed.difference(&exposed).filter(|name| !may_lack(name)).collect();
    assert!(missing.is_empty(), "in the catalogue, and not exposed: {missing:?}");
}
