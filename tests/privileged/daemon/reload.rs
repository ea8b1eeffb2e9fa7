//! SIGHUP: a new configuration without a restart, and without losing what was counted.

use std::{
    process::Command,
    sync::atomic::AtomicBool,
    thread,
    time::{Duration, Instant},
};

use monitor::{export::name::metric_name, probe::PROBES};
use monitor_tests::{Workload, proc::Counters, serial, sys};
use serde_json::Value;

use super::{
    program::Daemon,
    scrape::{Labels, Scrape},
    sums::{Stop, adds_up, nothing_went_down, traffic},
};

const CPU_TIME: &str = "monitor_process_cpu_time_seconds_total";
const COMMAND: &str = "process_executable_name";

/// On-CPU time of all groups.
fn cpu_time(scrape: &Scrape) -> f64 {
    scrape.all(CPU_TIME).map(|(_, value)| value).sum()
}

/// The groups that have series, by their labels.
fn groups(scrape: &Scrape) -> Vec<&Labels> {
    scrape.all(CPU_TIME).map(|(labels, _)| labels).collect()
}

/// The next scrape after the tick that a reload ends with. It adds up.
fn next(daemon: &Daemon) -> Scrape {
    daemon.wait_ticks(1);
    let scrape = Scrape::text(daemon);
    adds_up(&scrape);
    scrape
}

#[test]
fn logs_change_their_level_and_form() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    assert!(!daemon.log().contains("attached by"), "details at the level of information");
    let log = daemon.reload("log.level = \"info,monitor::kernel=debug\"\nprobes.sched = false\n");
    assert!(log.contains("configuration reloaded: log.level, probes.sched"), "{log}");
    daemon.reload("log.level = \"info,monitor::kernel=debug\"\nlog.format = \"json\"\n");
    let attached = daemon.wait("details in JSON", || {
        let log = daemon.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        // The last of them.
        lines.find(|line| line["hook"] == "sched_wakeup_new")
    });
    assert_eq!(attached["level"], "DEBUG");
    let log = daemon.reload("");
    // What was logged until then is in JSON.
    let after = log.split_once(" INFO configuration reloaded: log.format, log.level\n");
    let (_, after) = after.unwrap_or_else(|| panic!("not reloaded: {log}"));
    assert!(!after.contains('{'), "JSON after all: {log}");
}

#[test]
fn groups_change_and_nothing_is_lost() {
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "200ms"]);
    let _many = [1, 2, 3, 4].map(|number| {
        Workload::start(&format!("mt-many{number}"), ["sleep", "-", "100000", "500"]).busy()
    });
    let mut last = next(&daemon);
    assert!(groups(&last).iter().any(|labels| labels[COMMAND] == "mt-many1"));
    let mut change = |config: &str, changed: &str, check: &dyn Fn(&Scrape)| {
        let log = daemon.reload(config);
        assert!(log.contains(&format!("configuration reloaded: {changed}\n")), "{log}");
        let scrape = next(&daemon);
        check(&scrape);
        for name in ["system_cpu_time_seconds_total", "monitor_sched_context_switches_total"] {
            let sum = |scrape: &Scrape| scrape.all(name).map(|(_, value)| value).sum::<f64>();
            assert!(sum(&scrape) >= sum(&last), "{name} went down");
        }
        assert!(cpu_time(&scrape) >= cpu_time(&last), "on-CPU time was lost by {config}");
        last = scrape;
    };

    change("[groups]\nby = \"container\"\n", "groups.by", &|scrape| {
        let names = groups(scrape).into_iter().filter_map(|labels| labels.get(COMMAND));
        let named: Vec<_> = names.filter(|name| !name.starts_with('(')).collect();
        assert!(named.is_empty(), "groups by container have commands: {named:?}");
    });
    change("[groups]\nby = \"process\"\ntop = 1000\n", "groups.by, groups.top", &|scrape| {
        assert!(groups(scrape).iter().any(|labels| labels.contains_key("process_pid")));
    });
    // Three of their own, those that are not, and what those counted that lost their place.
    change("[groups]\nby = \"process\"\ntop = 3\n", "groups.top", &|scrape| {
        assert!(groups(scrape).len() <= 5, "{:?}", groups(scrape));
    });
    change("[groups]\nby = \"process\"\ntop = 1000\n", "groups.top", &|scrape| {
        assert!(groups(scrape).len() > 5, "{:?}", groups(scrape));
    });
    change("", "groups.by, groups.top", &|scrape| {
        assert!(groups(scrape).iter().all(|labels| !labels.contains_key("process_pid")));
    });
    let log = daemon.reload("");
    assert!(log.contains("nothing has changed"), "{log}");
}

/// BPF programs that are in the kernel.
fn programs() -> usize {
    let list = Command::new("bpftool").args(["prog", "show", "--json"]).output();
    let list = list.expect("bpftool was found before").stdout;
    let list: Value = serde_json::from_slice(&list).expect("it is JSON");
    list.as_array().map_or(0, Vec::len)
}

#[test]
fn probes_are_switched_off_and_on() {
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "200ms"]);
    let of_sched = |scrape: &Scrape| {
        let own = |labels: &Labels| labels.get("monitor_probe").is_some_and(|it| it == "sched");
        let series = scrape.series.keys().filter(|(name, labels)| {
            let state = name == "monitor_agent_probe_state";
            let by_name = name.starts_with("monitor_process_cpu")
                || name.starts_with("monitor_process_runqueue")
                || name.starts_with("monitor_sched_");
            by_name || (own(labels) && !state)
        });
        series.count()
    };
    let state = |scrape: &Scrape, state: &str| {
        let labels = [("monitor_probe", "sched"), ("monitor_probe_state", state)];
        scrape.value("monitor_agent_probe_state", &labels)
    };
    let hog = Workload::start("mt-hog", ["hog", "-", "-", "60000"]).busy();
    let before = next(&daemon);
    assert!(of_sched(&before) > 20 && state(&before, "active") == Some(1.0));
    let loaded = programs();

    daemon.reload("[probes]\nsched = false\n");
    daemon.wait_ticks(1);
    let without = Scrape::text(&daemon);
    assert_eq!((of_sched(&without), state(&without, "disabled")), (0, Some(1.0)));
    let cpu = |scrape: &Scrape| {
        scrape.all("system_cpu_time_seconds_total").map(|(_, value)| value).sum::<f64>()
    };
    assert!(cpu(&without) > cpu(&before), "the host's gauges stand still");
    let health = daemon.get("/health").json();
    assert_eq!(
        (&health["status"], &health["probes"][0]["state"]),
        (&"ok".into(), &"disabled".into())
    );
    // The kernel frees programs a moment after.
    daemon.wait("the programs to be unloaded", || (programs() <= loaded - 6).then_some(()));

    let used = || Counters::of_process(hog.pid()).cpu_ns as f64 / 1e9;
    let off = used();
    daemon.reload("");
    let again = next(&daemon);
    let since = used() - off;
    assert_eq!(state(&again, "active"), Some(1.0));
    let labels = [(COMMAND, "mt-hog")];
    let [first, second] = [&before, &again].map(|scrape| scrape.value(CPU_TIME, &labels));
    let (first, second) = (first.expect("it ran"), second.expect("it runs"));
    assert!(second > 0.0 && second <= since, "{first} s before, {second} s of {since} s since");
}

/// Whether a series is of a probe: one that it alone measures, or one about it.
fn is_of(probe: &str, name: &str, labels: &Labels) -> bool {
    let desc = PROBES.iter().find(|desc| desc.name == probe).expect("a probe");
    let measured = desc.metrics.iter().map(|metric| metric_name(metric));
    let parts = ["", "_count", "_sum", "_bucket"];
    measured.into_iter().any(|metric| parts.iter().any(|part| *name == format!("{metric}{part}")))
        || labels.get("monitor_probe").is_some_and(|it| it == probe)
}

/// A scrape without the series of a probe.
fn without(mut scrape: Scrape, probe: &str) -> Scrape {
    scrape.series.retain(|(name, labels), _| !is_of(probe, name, labels));
    scrape
}

#[test]
fn a_probe_that_is_switched_touches_no_other() {
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "200ms"]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| traffic(&stop));
        let _stop = Stop(&stop);
        // From then on there are results of it.
        daemon.wait("a round of the self-audit", || {
            let scrape = Scrape::text(&daemon);
            scrape.series.keys().any(|(name, _)| name == "monitor_agent_audit_ratio").then_some(())
        });
        for probe in PROBES.iter().map(|probe| probe.name) {
            let before = without(next(&daemon), probe);
            assert!(before.series.len() > 100, "{}", before.series.len());
            daemon.reload(&format!("[probes]\n{probe} = false\n"));
            daemon.wait_ticks(1);
            let off = Scrape::text(&daemon);
            let state = |(name, _): &&(String, Labels)| name != "monitor_agent_probe_state";
            let left: Vec<_> = off.series.keys().filter(state).collect();
            let left = left.iter().find(|(name, labels)| is_of(probe, name, labels));
            assert!(left.is_none(), "{probe} is off, and there is {left:?}");
            nothing_went_down(&before, &off);
            daemon.reload("");
            let on = next(&daemon);
            nothing_went_down(&off, &without(on, probe));
        }
        assert_eq!(daemon.get("/health").json()["status"], "ok");
    });
}

/// How long nothing may be taken for stuck.
const WHILE: Duration = Duration::from_secs(2);

#[test]
fn the_interval_changes_and_a_long_one_is_not_taken_for_stuck() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    let tick = || daemon.get("/health").json()["tick"].as_u64().expect("ticks are numbered");
    daemon.reload("interval = \"100ms\"\n");
    let (first, begin) = (tick(), Instant::now());
    thread::sleep(WHILE);
    let ticks = (tick() - first) as f64;
    let due = begin.elapsed().as_secs_f64() / 0.1;
    assert!((due / 2.0..=due + 1.0).contains(&ticks), "{ticks} ticks of 100 ms, {due} were due");
    daemon.reload_interval(60, "");
    let first = tick();
    thread::sleep(WHILE);
    let health = daemon.get("/health");
    assert_eq!((tick(), health.status), (first, 200), "{}", health.text());
}

#[test]
fn what_cannot_be_read_is_refused_whole_and_said_once() {
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "200ms"]);
    let by_process = "[groups]\nby = \"process\"\n";
    daemon.reload(by_process);
    for (config, says) in [
        (
            "log.level = \"debug\"\n[groups]\nby = \"nothing\"\n",
            "monitor.toml:3: unknown value `nothing`",
        ),
        ("probes.sched = false\ntop = 1\n", "monitor.toml:2: unknown key `top`"),
        ("probes.sched = false\nlog.level = \"loud\"\n", "log.level = \"loud\" is no level"),
    ] {
        let log = daemon.reload(config);
        let refused = "configuration not reloaded, the previous one stays in use: ";
        assert!(log.contains(refused) && log.contains(says), "{log}");
        daemon.wait_ticks(2);
        assert_eq!(daemon.log().matches(says).count(), 1, "{}", daemon.log());
        assert!(!daemon.log().contains("DEBUG"));
        let scrape = next(&daemon);
        assert!(groups(&scrape).iter().any(|labels| labels.contains_key("process_pid")));
        // What a flag says, a file does not change.
        assert!(daemon.get("/health").json()["interval_seconds"].as_f64() < Some(0.9));
    }
    let log = daemon.reload(&format!("host.root = \"/nonexistent\"\n{by_process}"));
    let says = "host.root = \"/nonexistent\": restart required; \"/\" stays in use until then";
    assert!(log.contains("WARN") && log.contains(says), "{log}");
    next(&daemon);
}

#[test]
fn a_storm_of_signals_amid_a_storm_of_forks_is_survived() {
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "100ms"]);
    let forks = Workload::start("mt-forks", ["forks", "4000", "300"]);
    let configs = [
        "[groups]\nby = \"container\"\ntop = 1\n",
        "[probes]\nsched = false\n",
        "[groups]\nby = \"process\"\ntop = 5\n",
        "",
    ];
    for round in 0..16 {
        daemon.reload(configs[round % configs.len()]);
        for _ in 0..20 {
            sys::kill(daemon.pid(), libc::SIGHUP);
        }
    }
    forks.done();
    daemon.wait_ticks(2);
    adds_up(&Scrape::text(&daemon));
    assert_eq!(daemon.get("/health").json()["status"], "ok");
    assert!(!daemon.log().contains("panicked"), "{}", daemon.log());
}
