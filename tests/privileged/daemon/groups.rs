//! How processes are grouped: by container, by process, and those that are too many.

use std::{
    collections::BTreeSet,
    thread,
    time::{Duration, Instant},
};

use monitor_tests::{Workload, daemon::container::Container, proc::Counters, serial};

use super::{program::Daemon, scrape::Scrape, sums::adds_up};

const CPU_TIME: &str = "monitor_process_cpu_time_seconds_total";
const RUNS: &str = "monitor_process_runqueue_latency_seconds_count";

#[test]
fn containers_are_told_apart_and_outlive_their_processes() {
    const NAME: &str = "mt-same";
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "250ms"]);
    let containers = [1, 2].map(Container::new);
    let cpu_time = |container: &Container| {
        let labels = [("process_executable_name", NAME), ("container_id", &*container.id)];
        Scrape::text(&daemon).value(CPU_TIME, &labels)
    };
    assert_eq!(containers.each_ref().map(cpu_time), [None, None]);

    let mut used = [0.0; 2];
    let hogs = [containers[0].run(NAME, 600), containers[1].run(NAME, 300)];
    for (used, hog) in used.iter_mut().zip(&hogs) {
        *used += Counters::of_idle_process(hog.pid()).cpu_ns as f64 / 1e9;
    }
    daemon.wait_ticks(2);
    let first = containers.each_ref().map(cpu_time).map(|time| time.expect("it has a series"));
    for (first, used) in first.iter().zip(used) {
        // What it did before it was in the container may be counted where it was.
        assert!(*first <= used + 1e-6 && *first > used - 0.05, "{first} s of {used} s");
    }

    // The process ends, the container goes on with another.
    hogs.into_iter().for_each(Workload::end);
    daemon.wait_ticks(2);
    let between = cpu_time(&containers[0]).expect("the series stays");
    assert!(between >= first[0], "{between} s after {} s", first[0]);
    let hog = containers[0].run(NAME, 400);
    let more = Counters::of_idle_process(hog.pid()).cpu_ns as f64 / 1e9;
    daemon.wait_ticks(2);
    let after = cpu_time(&containers[0]).expect("the series stays") - between;
    assert!(after <= more + 1e-6 && after > more - 0.05, "{after} s of {more} s");
    adds_up(&Scrape::text(&daemon));
}

#[test]
fn storms_of_the_same_command_in_two_containers_are_told_apart() {
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "250ms"]);
    let containers = [1, 2].map(Container::new);
    let storms = [containers[0].forks(1500), containers[1].forks(500)];
    for _ in 0..8 {
        adds_up(&Scrape::text(&daemon));
        thread::sleep(Duration::from_millis(200));
    }
    // What the children used by RUSAGE_CHILDREN, and their parent.
    let used = storms.each_ref().map(|storm| {
        let children = *storm.done().last().expect("it reports what they used");
        (children + Counters::of_idle_process(storm.pid()).cpu_ns) as f64 / 1e9
    });
    daemon.wait_ticks(2);
    let scrape = Scrape::text(&daemon);
    adds_up(&scrape);
    for ((container, used), children) in containers.iter().zip(used).zip([1500.0, 500.0]) {
        let labels = [("process_executable_name", "mt-forked"), ("container_id", &container.id)];
        let counted = scrape.value(CPU_TIME, &labels).expect("it has a series");
        println!("{children} children: {counted} s counted of {used} s");
        assert!((counted / used - 1.0).abs() < 0.02, "{counted} s of {used} s");
        let exits = scrape.values("monitor_process_exits_total", &labels).iter().sum::<f64>();
        assert_eq!(exits, children);
    }
    storms.into_iter().for_each(Workload::end);
}

#[test]
fn groups_beyond_the_limit_are_other_and_still_add_up() {
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "250ms", "--top", "2"]);
    let _many = [1, 2, 3, 4, 5, 6].map(|number| {
        Workload::start(&format!("mt-many{number}"), ["sleep", "-", "100000", "1000"]).busy()
    });
    let mut others = Vec::new();
    for number in 0..12 {
        let scrape =
            if number % 2 == 0 { Scrape::text(&daemon) } else { Scrape::protobuf(&daemon) };
        adds_up(&scrape);
        let groups: BTreeSet<_> = scrape.all(RUNS).map(|(labels, _)| labels.clone()).collect();
        // Two that have a place, two at most that lost it a while ago, and both reserved names.
        assert!(groups.len() <= 6, "{groups:?}");
        others.extend(scrape.value(RUNS, &[("process_executable_name", "(other)")]));
        daemon.wait_ticks(1);
    }
    assert!(others.is_sorted(), "{others:?}");
    // Six of them, or four and more, each a thousand times a second at most.
    assert!(others.last() > others.first(), "{others:?}");
}

#[test]
fn flood_of_short_processes_does_not_keep_a_busy_one_out() {
    const TOP: usize = 20;
    let _serial = serial();
    let daemon = Daemon::start(["--top", &TOP.to_string()]);
    // Each has a name of its own, and they fill the list of candidates.
    let flood = Workload::start("mt-flood", ["names", "20000"]);
    flood.done();
    flood.end();
    let _burner = Workload::start("mt-burner", ["hog", "-", "-", "20000"]);
    let begin = Instant::now();
    let cpu_time = daemon.wait("the series of a busy process", || {
        let scrape = Scrape::text(&daemon);
        adds_up(&scrape);
        let groups: BTreeSet<_> = scrape.all(RUNS).map(|(labels, _)| labels.clone()).collect();
        assert!(groups.len() <= 2 * TOP + 2, "{} groups", groups.len());
        scrape.value(CPU_TIME, &[("process_executable_name", "mt-burner")])
    });
    let took = begin.elapsed();
    println!("exported after {took:?}, with {cpu_time} s on a CPU");
    assert!(took < Duration::from_secs(15), "{took:?}");
}

#[test]
fn processes_are_told_apart_when_asked_for() {
    const NAME: &str = "mt-same";
    let _serial = serial();
    let daemon = Daemon::start(["--interval", "250ms", "--group-by", "process", "--top", "1000"]);
    let hogs = [300, 500].map(|ms: u32| Workload::start(NAME, ["hog", "-", "-", &ms.to_string()]));
    hogs.iter().for_each(|hog| drop(hog.done()));
    let used = hogs.each_ref().map(|hog| Counters::of_idle_process(hog.pid()).cpu_ns as f64 / 1e9);
    daemon.wait_ticks(2);
    let scrape = Scrape::text(&daemon);
    adds_up(&scrape);
    for (hog, used) in hogs.iter().zip(used) {
        let pid = hog.pid().to_string();
        let labels = [("process_executable_name", NAME), ("process_pid", &pid)];
        let counted = scrape.value(CPU_TIME, &labels).expect("it has a series");
        assert!((counted - used).abs() < 0.05, "process {pid}: {counted} s of {used} s");
    }
}
