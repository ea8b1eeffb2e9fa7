//! What cgroups say of containers and units, against their files.

use std::{fs, process, thread, time::Duration};

use monitor_tests::{
    Workload,
    cgroup::{self, Cgroup},
    daemon::container::Container,
    serial,
};

use super::{program::Daemon, scrape::Scrape};

const PERIODS: &str = "monitor_cgroup_cpu_periods_total";
const THROTTLED: &str = "monitor_cgroup_cpu_throttled_periods_total";
const TIME: &str = "monitor_cgroup_cpu_throttled_time_seconds_total";
const COMMAND: &str = "mt-same";

/// The period of CPU quotas.
const PERIOD_US: u32 = 10_000;

/// Periods, throttled periods and throttled nanoseconds that a container's file says once its processes
/// have ended: the timer of the period runs on for a moment.
fn stat(container: &Container) -> [u64; 3] {
    for _ in 0..50 {
        let before = stat_now(container);
        thread::sleep(Duration::from_millis(50));
        if before == stat_now(container) {
            return before;
        }
    }
    panic!("{} does not come to rest", container.id);
}

fn stat_now(container: &Container) -> [u64; 3] {
    let cgroup = &container.cgroup;
    let ns = Some(cgroup.throttled_ns());
    [cgroup.stat(&["nr_periods "]), cgroup.stat(&["nr_throttled "]), ns]
        .map(|value| value.expect("the controller is on"))
}

/// The same as exported.
fn exported(scrape: &Scrape, id: &str) -> Option<[u64; 3]> {
    let value = |name| scrape.value(name, &[("container_id", id)]);
    let [periods, throttled, seconds] = [value(PERIODS)?, value(THROTTLED)?, value(TIME)?];
    Some([periods as u64, throttled as u64, (seconds * 1e9).round() as u64])
}

#[test]
fn throttling_is_what_the_cgroups_say_and_containers_are_told_apart() {
    let _serial = serial();
    // One is there before the daemon, and counts from its start.
    let before = Container::new(1);
    // So little that each uses it up in every period, however busy the CPUs are.
    before.cgroup.limit_cpu(1000, PERIOD_US);
    before.run(COMMAND, 20).end();
    let base = stat(&before);
    assert!(base[1] > 0, "no throttling: {base:?}");
    let daemon = Daemon::start([]);
    let after = Container::new(2);
    after.cgroup.limit_cpu(2000, PERIOD_US);
    let hogs = [before.run(COMMAND, 60), after.run(COMMAND, 60)];
    hogs.into_iter().for_each(Workload::end);
    let [first, second] = [stat(&before), stat(&after)];
    let first: [u64; 3] = std::array::from_fn(|index| first[index] - base[index]);
    assert!(first[1] > 10 && second[1] > 10 && first[2] > second[2], "{first:?} {second:?}");
    let both = daemon.wait("both containers", || {
        let scrape = Scrape::text(&daemon);
        let both = [exported(&scrape, &before.id)?, exported(&scrape, &after.id)?];
        (both == [first, second]).then_some(both)
    });
    println!("periods, throttled periods, throttled ns: {both:?}");

    // The container outlives its process, and its series go on.
    after.run(COMMAND, 100).end();
    let more = stat(&after);
    assert!(more[2] > second[2]);
    daemon.wait("more", || (exported(&Scrape::text(&daemon), &after.id)? == more).then_some(()));
    // And the other was not touched.
    assert_eq!(exported(&Scrape::protobuf(&daemon), &before.id), Some(first));
}

/// What a container throttled for as its file said at the last moment, between two ticks. Beside hogs
/// that take the CPUs from the daemon.
#[test]
fn containers_count_until_they_are_removed_where_cpus_are_short() {
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "2s"]);
    // Four on each CPU, in as many cgroups: the daemon has a ninth of one.
    let crowd: Vec<_> =
        (0..16).map(|_| Workload::start("mt-crowd", ["hog", "-", "-", "3600000"])).collect();
    let last: Vec<_> = (1..=5)
        .map(|number| {
            let container = Container::new(number);
            container.cgroup.limit_cpu(2000, PERIOD_US);
            // The fifth of a CPU, for half a second or more.
            container.run(COMMAND, 100).end();
            (container.id.clone(), stat(&container))
        })
        .collect();
    let age = |scrape: &Scrape| scrape.value("monitor_agent_cgroup_reading_age_seconds", &[]);
    let mut ages = Vec::new();
    daemon.wait("what the files said", || {
        let scrape = Scrape::text(&daemon);
        ages.extend(age(&scrape));
        last.iter().all(|(id, stat)| exported(&scrape, id) == Some(*stat)).then_some(())
    });
    println!("periods, throttled periods, throttled ns: {last:?}, ages of readings {ages:?}");
    // At most 15 s, and a tick on each side.
    assert!(!ages.is_empty() && ages.iter().all(|age| *age <= 17.0), "{ages:?}");
    assert!(last.iter().all(|(_, [_, throttled, _])| *throttled > 10));
    drop(crowd);
}

#[test]
fn the_longest_names_are_whole() {
    let _serial = serial();
    // The longest name that a directory can have.
    let tail = format!("{}.service", process::id());
    let name = format!("{}{tail}", "x".repeat(255 - tail.len()));
    let unit = Cgroup::at("cpu", &cgroup::root("cpu").join(&name));
    let daemon = Daemon::start([]);
    let hog = Workload::start(COMMAND, ["hog", "-", unit.path().to_str().expect("text"), "50"]);
    hog.done();
    hog.end();
    let labels = [("systemd_unit", &*name)];
    daemon.wait("the unit", || {
        let scrape = Scrape::text(&daemon);
        scrape.value("monitor_process_cpu_time_seconds_total", &labels)?;
        // A host of version 2 has them only where the controller is on.
        let throttling = scrape.value(PERIODS, &labels);
        (throttling.is_some() || cgroup::version_1().is_none()).then_some(())
    });
}

#[test]
fn pressure_that_the_kernel_does_not_account_for_is_absent_with_its_reason() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    let absent = daemon.get("/health").json()["absent"].clone();
    let reasons: Vec<_> = absent.as_array().expect("a list").iter().collect();
    let reason =
        reasons.iter().find_map(|it| it.as_str().filter(|it| it.starts_with("pressure on")));
    let scrape = Scrape::text(&daemon);
    let is_there = scrape.names.contains("monitor_cgroup_pressure_time_seconds_total");
    assert_ne!(reason.is_some(), is_there, "{reasons:?}");
    if let Err(error) = fs::read("/proc/pressure/cpu") {
        let reason = reason.unwrap_or_else(|| panic!("no reason in {reasons:?}"));
        assert!(reason.contains("/proc/pressure/cpu") && reason.contains("psi=1"), "{reason}");
        assert!(reason.contains(&error.to_string()), "{reason}");
    }
}
