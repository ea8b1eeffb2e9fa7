//! Hooks that the kernel does not have, or refuses: each is named with its reason and with what is not
//! measured for want of it, and all else goes on.

use std::fs;

use monitor::kernel::{
    attach::{Alternative, Hook, Target},
    loader::{Kernel, Object, Setup},
};
use monitor_tests::{objects::Held, serial, sys};
use serde_json::Value;

use super::{
    btf::Types,
    program::{Daemon, Directory, Ended, executable, run},
    scrape::Scrape,
};

/// What is said of a hook in a list of probes.
fn verdict<'a>(probes: &'a Value, probe: &str, hook: &str) -> (&'a Value, &'a Value) {
    let find = |list: &'a Value, key: &str, name: &str| {
        let found = list.as_array().and_then(|list| list.iter().find(|it| it[key] == name));
        found.unwrap_or_else(|| panic!("no {name} in {list}"))
    };
    let probe = find(probes, "probe", probe);
    (probe, find(&probe["hooks"], "hook", hook))
}

/// A daemon for a kernel with these types, and what `check` says of it as a table and as JSON.
fn with(types: &Types, directory: &Directory) -> (Daemon, Ended, Value) {
    let check = |format| {
        let mut check = types.program(directory);
        check.args(["check", "--format", format]);
        run(check)
    };
    let json = check("json");
    let json =
        serde_json::from_str(&json.stdout).unwrap_or_else(|error| panic!("{error}: {json:?}"));
    let daemon = Daemon::launch(types.program(directory), []);
    daemon.wait_ready();
    (daemon, check("table"), json)
}

#[test]
fn a_hook_that_the_kernel_lacks_degrades_one_metric() {
    let _serial = serial();
    let directory = Directory::new();
    let types = Types::of_this_kernel().rename("btf_trace_sched_wakeup_new");
    let (daemon, table, json) = with(&types, &directory);
    let health = daemon.get("/health").json();
    assert_eq!(health["status"], "degraded");
    for probes in [&health["probes"], &json["probes"]] {
        let (probe, hook) = verdict(probes, "sched", "sched_wakeup_new");
        assert_eq!((&probe["state"], &hook["state"]), (&"degraded".into(), &"unsupported".into()));
        assert_eq!(hook["without"], "the first run-queue latency of new threads");
        let reason = probe["reason"].as_str().expect("a reason");
        assert!(reason.starts_with("sched_wakeup_new: unsupported: "), "{reason}");
        assert!(reason.contains("btf_trace_sched_wakeup_new"), "{reason}");
        let (_, other) = verdict(probes, "sched", "sched_switch");
        assert_eq!(other["state"], "attached");
    }
    // It works all the same, so it is no failure.
    assert_eq!(table.code, Some(0));
    let lines = ["sched_wakeup_new     unsupported: ", "not measured: the first run-queue latency"];
    assert!(lines.iter().all(|line| table.stdout.contains(line)), "{}", table.stdout);
    let scrape = Scrape::text(&daemon);
    let runs = scrape.value("monitor_sched_runqueue_latency_seconds_count", &[]);
    assert!(runs.is_some_and(|runs| runs > 0.0), "nothing is measured");
    let labels = [("monitor_probe", "sched"), ("monitor_probe_state", "degraded")];
    assert_eq!(scrape.value("monitor_agent_probe_state", &labels), Some(1.0));
}

#[test]
fn a_program_that_the_verifier_refuses_is_shown_with_its_words() {
    let _serial = serial();
    let directory = Directory::new();
    let types = Types::of_this_kernel().misplace("task_struct", "pid");
    let (daemon, table, json) = with(&types, &directory);
    let health = daemon.get("/health").json();
    assert_eq!(health["status"], "degraded");
    for probes in [&health["probes"], &json["probes"]] {
        let (probe, hook) = verdict(probes, "sched", "sched_switch");
        assert_eq!((&probe["state"], &hook["state"]), (&"failed".into(), &"failed".into()));
        let reason = probe["reason"].as_str().expect("a reason");
        let says = ["the sched probe cannot work without", "the kernel refused the program"];
        assert!(says.iter().all(|words| reason.contains(words)), "{reason}");
        let verifier = hook["verifier"].as_array().expect("its last lines");
        let beyond = |line: &Value| line.as_str().is_some_and(|it| it.contains("task_struct"));
        assert!(verifier.iter().any(beyond), "{verifier:?}");
    }
    assert_eq!(table.code, Some(1));
    assert!(table.stdout.contains("sched_switch         failed: "), "{}", table.stdout);
    assert!(table.stdout.contains("access beyond struct task_struct"), "{}", table.stdout);
    // What is not measured is absent, and the rest is there.
    let scrape = Scrape::text(&daemon);
    let strays = scrape.names.iter().filter(|name| name.starts_with("monitor_sched_"));
    assert_eq!(strays.count(), 0);
    assert!(scrape.names.contains("system_cpu_time_seconds_total"));
}

#[test]
fn a_member_of_another_width_is_named_and_degrades_its_probe_alone() {
    let _serial = serial();
    let directory = Directory::new();
    // As `on_cpu` is from 7.2 on, which is read in either width.
    let types = Types::of_this_kernel().retype("task_struct", "on_cpu", "unsigned char").retype(
        "task_struct",
        "nvcsw",
        "unsigned int",
    );
    let (daemon, table, json) = with(&types, &directory);
    let health = daemon.get("/health").json();
    assert_eq!(health["status"], "degraded");
    let says = "task_struct.nvcsw is 4 bytes in this kernel, and 8 bytes are read";
    for probes in [&health["probes"], &json["probes"]] {
        let probes = probes.as_array().expect("a list of probes");
        let failed: Vec<_> = probes.iter().filter(|probe| probe["state"] == "failed").collect();
        let [failed] = failed[..] else { panic!("one probe of {probes:?}") };
        assert_eq!(failed["probe"], "sched");
        let reason = failed["reason"].as_str().expect("a reason");
        assert!(reason.starts_with(says), "{reason}");
    }
    assert_eq!(table.code, Some(1));
    assert!(table.stdout.contains(says), "{}", table.stdout);
}

#[test]
fn a_kernel_that_is_too_old_is_refused_in_one_line() {
    let _serial = serial();
    let directory = Directory::new();
    let types = Types::of_this_kernel().rename("BPF_MAP_TYPE_TASK_STORAGE");
    let mut check = types.program(&directory);
    check.arg("check");
    let check = run(check);
    assert_eq!(check.code, Some(1));
    assert_eq!(
        check.stdout,
        "this kernel does not support task storage for BPF programs (BPF_MAP_TYPE_TASK_STORAGE is \
         missing in its types); run monitor on Linux 6.1 or later\n"
    );
}

/// One way to attach a program.
const fn way(program: &'static str, tracepoint: &'static str) -> Alternative {
    Alternative { program, target: Target::TpBtf(tracepoint) }
}

/// The second of these is refused by the kernel, the third is taken, the last is not tried.
static HOOK: Hook = Hook {
    name: "wakeup",
    alternatives: &[
        way("no_such_program", "sched_wakeup"),
        way("sched_wakeup_new", "no_such_tracepoint"),
        way("sched_wakeup", "sched_wakeup"),
        way("sched_switch", "sched_switch"),
    ],
    without: Some("what wakes"),
};

static MISSING: Hook = Hook {
    name: "missing",
    alternatives: &[way("sched_wakeup_new", "no_such_tracepoint")],
    without: Some("nothing"),
};

/// The empty programs.
fn empty(kernel: &Kernel) -> Object {
    let path = executable().with_file_name("../bpf/empty.o");
    let elf = fs::read(&path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"));
    kernel.load("empty", &elf, &Setup::default()).expect("it has no needs")
}

#[test]
fn the_first_way_that_the_kernel_takes_is_used() {
    let _serial = serial();
    let kernel = monitor_tests::kernel();
    let mut object = empty(&kernel);
    assert!(kernel.attach(&mut object, &HOOK));
    assert!(!kernel.attach(&mut object, &MISSING));
    let [wakeup, missing] = object.verdicts.as_slice() else { panic!("{:?}", object.verdicts) };
    assert_eq!((wakeup.hook, wakeup.without), ("wakeup", None));
    assert_eq!(wakeup.state.to_string(), "attached by tp_btf/sched_wakeup");
    assert_eq!((missing.hook, missing.without), ("missing", Some("nothing")));
    let reason = missing.state.to_string();
    assert!(reason.starts_with("unsupported: "), "{reason}");
    assert!(reason.contains("btf_trace_no_such_tracepoint"), "{reason}");
}

static NEEDED: Hook = Hook {
    name: "needed",
    alternatives: &[Alternative {
        program: "sched_wakeup",
        target: Target::TpBtfOnDemand("sched_wakeup"),
    }],
    without: Some("what wakes"),
};

#[test]
fn a_hook_that_fails_once_it_is_needed_is_attached_no_more() {
    let _serial = serial();
    let kernel = monitor_tests::kernel();
    let mut object = empty(&kernel);
    assert!(kernel.attach(&mut object, &NEEDED));
    sys::without_new_files(|| object.attach_on_demand(&NEEDED));
    // What has failed is not tried again, though it would work now.
    object.attach_on_demand(&NEEDED);
    let [needed] = object.verdicts.as_slice() else { panic!("{:?}", object.verdicts) };
    let reason = needed.state.to_string();
    assert!(needed.state.is_missing() && reason.contains("Too many open files"), "{reason}");
    assert_eq!(needed.without, Some("what wakes"));
}

#[test]
fn every_map_of_every_probe_has_an_account() {
    /// The map of maps whose updates the daemon waits for at the end of a tick, and the map in it: they
    /// belong to no probe.
    const OF_NO_PROBE: usize = 2;
    let _serial = serial();
    let daemon = Daemon::start([]);
    let scrape = Scrape::text(&daemon);
    let [_, maps, _] = Held::by(daemon.pid()).counts();
    let sizes: Vec<_> = scrape.all("monitor_agent_map_size_bytes").collect();
    assert_eq!(sizes.len() + OF_NO_PROBE, maps, "{sizes:?}");
}

/// The kernel's BPF statistics, on for as long as this lives.
struct Statistics;

impl Statistics {
    const PATH: &str = "/proc/sys/kernel/bpf_stats_enabled";

    fn on() -> Self {
        fs::write(Self::PATH, "1").expect("root may");
        Self
    }
}

impl Drop for Statistics {
    fn drop(&mut self) {
        fs::write(Self::PATH, "0").expect("root may");
    }
}

/// By `bpftool`, which has the layout of the kernel's structure from elsewhere.
#[test]
fn programs_have_the_runs_and_the_time_that_the_kernel_counts() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    let _statistics = Statistics::on();
    let by_kernel = |key: &str| {
        let programs = Held::by(daemon.pid()).programs();
        let program = programs.iter().find(|program| program["name"] == "sched_wakeup");
        program
            .and_then(|it| it[key].as_f64())
            .unwrap_or_else(|| panic!("no {key} in {programs:?}"))
    };
    let counts = || [by_kernel("run_cnt"), by_kernel("run_time_ns")];
    daemon.wait_ticks(2);
    let before = counts();
    daemon.wait_ticks(2);
    let scrape = Scrape::text(&daemon);
    let after = counts();
    let labels = [("monitor_probe", "sched"), ("monitor_program", "sched_wakeup")];
    let value = |name: &str| scrape.value(name, &labels).expect("statistics are on");
    let counted = [
        value("monitor_agent_bpf_runs_total"),
        value("monitor_agent_bpf_time_seconds_total") * 1e9,
    ];
    println!("runs and nanoseconds: {counted:?}, by the kernel {before:?} to {after:?}");
    for (counted, (before, after)) in counted.iter().zip(before.iter().zip(after)) {
        assert!(0.0 < *before && before <= counted && *counted <= after);
    }
}
