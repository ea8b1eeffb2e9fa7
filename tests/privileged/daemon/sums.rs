//! Whatever happens on the host, every scrape adds up, and nothing that counts goes down.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Seek, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use monitor_tests::{Workload, serial};

use super::{
    pairs::{Pair, pairs},
    program::{self, Daemon},
    scrape::{Buckets, Scrape},
};

/// Switches to threads of a group, and of the host: there at all times.
const RUNS: &str = "monitor_process_runqueue_latency_seconds_count";
const HOST_RUNS: &str = "monitor_sched_runqueue_latency_seconds_count";

/// Scrapes, and the time between them.
const SCRAPES: usize = 50;
const PAUSE: Duration = Duration::from_millis(200);

#[test]
fn every_scrape_adds_up_while_processes_come_and_go() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    // More than CPUs, so that they wait for each other.
    let _hogs = ["mt-hog1", "mt-hog2", "mt-hog3"]
        .map(|name| Workload::start(name, ["hog", "-", "-", "60000"]));
    let _sleeper = Workload::start("mt-sleep", ["sleep", "-", "100000", "500"]);
    let storm = thread::spawn(storm);
    let stop = Arc::new(AtomicBool::new(false));
    let traffic = [traffic, writes].map(|work| {
        let stop = stop.clone();
        thread::spawn(move || work(&stop))
    });
    let mut last: Option<Scrape> = None;
    let mut counts = Vec::new();
    let mut next = Instant::now();
    for number in 0..SCRAPES {
        let scrape =
            if number % 2 == 0 { Scrape::text(&daemon) } else { Scrape::protobuf(&daemon) };
        adds_up(&scrape);
        if let Some(last) = &last {
            nothing_went_down(last, &scrape);
        }
        counts.push(scrape.value(HOST_RUNS, &[]).expect("it is measured"));
        last = Some(scrape);
        next += PAUSE;
        thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    storm.join().expect("processes can be started");
    stop.store(true, Ordering::Relaxed);
    for thread in traffic {
        thread.join().expect("the host has a network and a disk");
    }
    // It was not the same scrape again and again, and the load was in it.
    let (first, end) = (counts[0], counts[SCRAPES - 1]);
    counts.dedup();
    assert!(counts.len() >= 5, "no ticks between scrapes: {counts:?}");
    assert!(end - first > 5000.0, "no load: {first} and {end} switches");
    let end = Scrape::text(&daemon);
    for name in ["mt-hog1", "mt-sleep", "mt-forked", "mt-leave", "true"] {
        let labels = [("process_executable_name", name)];
        let runs = end.values(RUNS, &labels);
        assert!(runs.iter().sum::<f64>() > 0.0, "{name} was not seen");
    }
}

/// What happens while the hooks are attached one by one is either in the host and in a group, or in
/// neither.
#[test]
fn a_daemon_that_starts_under_load_adds_up_from_the_first_tick() {
    let _serial = serial();
    let stop = AtomicBool::new(false);
    let come_and_go = || {
        while !stop.load(Ordering::Relaxed) {
            let ended = Command::new("true").status();
            assert!(ended.is_ok_and(|status| status.success()));
        }
    };
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(come_and_go);
        }
        // Also when a scrape does not add up.
        let _stop = Stop(&stop);
        for _ in 0..8 {
            let daemon = Daemon::start(["--interval", "100ms"]);
            for _ in 0..4 {
                adds_up(&Scrape::text(&daemon));
                thread::sleep(Duration::from_millis(100));
            }
        }
    });
}

/// Says when to stop.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Some thousand processes and threads that live for a moment.
fn storm() {
    for _ in 0..5 {
        let forks = Workload::start("mt-forks", ["forks", "400", "300"]);
        let threads = Workload::start("mt-leave", ["leave", "200", "300"]);
        for _ in 0..40 {
            let ended = Command::new("true").status();
            assert!(ended.is_ok_and(|status| status.success()));
        }
        forks.done();
        threads.done();
        forks.end();
        threads.end();
        thread::sleep(Duration::from_millis(300));
    }
}

/// Connections over the loopback device, each with a request and an answer.
pub(crate) fn traffic(stop: &AtomicBool) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let address = listener.local_addr().expect("it is bound");
    let mut buffer = vec![7; 64 << 10];
    while !stop.load(Ordering::Relaxed) {
        let mut client = TcpStream::connect(address).expect("somebody listens");
        let (mut server, _) = listener.accept().expect("somebody has connected");
        client.write_all(&buffer[..100]).expect("it is connected");
        server.read_exact(&mut buffer[..100]).expect("it was sent");
        thread::scope(|scope| {
            scope.spawn(|| server.write_all(&[7; 64 << 10]).expect("it is connected"));
            client.read_exact(&mut buffer).expect("it is sent");
        });
        thread::sleep(Duration::from_millis(2));
    }
}

/// A file that is written to its disk again and again.
fn writes(stop: &AtomicBool) {
    let directory = program::Directory::new();
    let mut file = File::create(directory.path("written")).expect("the directory is ours");
    while !stop.load(Ordering::Relaxed) {
        file.rewind().and_then(|()| file.write_all(&[7; 256 << 10])).expect("there is room");
        file.sync_all().expect("the disk works");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Fails unless the groups together are the host, in every respect. What only happens now and then may
/// be absent, in the groups and in the host.
pub(crate) fn adds_up(scrape: &Scrape) {
    assert!(scrape.value(HOST_RUNS, &[]).is_some(), "no {HOST_RUNS}");
    for Pair { of_groups, of_host, is_histogram, shared } in pairs() {
        let parts: &[_] = if is_histogram { &["_count", "_sum", "_bucket"] } else { &[""] };
        for part in parts {
            let [groups, host] = [&of_groups, &of_host]
                .map(|name| by_labels(scrape, &format!("{name}{part}"), &shared));
            let unknown: Vec<_> = groups.keys().filter(|key| !host.contains_key(*key)).collect();
            assert!(unknown.is_empty(), "{of_host}{part} has none of {unknown:?}");
            for (labels, host) in &host {
                // What did not happen yet, no group has.
                let groups = groups.get(labels).copied().unwrap_or(0.0);
                // Counts are whole numbers; sums of seconds are rounded.
                let in_seconds = *part == "_sum" || of_host.ends_with("_seconds_total");
                let rounding = if in_seconds { 1e-9 * host } else { 0.0 };
                assert!(
                    (host - groups).abs() <= rounding,
                    "{of_host}{part}{labels:?} is {host}, its groups together {groups}"
                );
            }
        }
        let [groups, host] = [&of_groups, &of_host].map(|name| native(scrape, name));
        assert_eq!(groups, host, "native buckets of {of_host}");
    }
}

/// The sums of all series of a name that have `le`, if at all, and these labels in common.
fn by_labels(scrape: &Scrape, name: &str, shared: &[String]) -> BTreeMap<Vec<String>, f64> {
    let mut sums = BTreeMap::new();
    for (labels, value) in scrape.all(name) {
        let key = shared.iter().map(String::as_str).chain(["le"]);
        let key: Vec<_> = key.filter_map(|label| labels.get(label).cloned()).collect();
        *sums.entry(key).or_default() += value;
    }
    sums
}

/// The native buckets of all series of a name together, in the coarsest schema in use.
fn native(scrape: &Scrape, name: &str) -> Buckets {
    const SCHEMA: i32 = 1;
    let mut sums = Buckets::new();
    for ((other, labels), (schema, buckets)) in &scrape.native {
        if other != name {
            continue;
        }
        let all: u64 = buckets.values().sum();
        let count = scrape.series[&(format!("{name}_count"), labels.clone())];
        assert_eq!(all as f64, count, "the native buckets of {name}{labels:?}");
        assert!(*schema >= SCHEMA, "{name}{labels:?} has schema {schema}");
        for (index, count) in buckets.iter().filter(|(_, count)| **count > 0) {
            // Buckets are numbered by their upper bound.
            let coarse = index.map(|index| ((index - 1) >> (schema - SCHEMA)) + 1);
            *sums.entry(coarse).or_default() += count;
        }
    }
    sums
}

/// Fails when a counter is lower than it was a moment ago.
pub(crate) fn nothing_went_down(last: &Scrape, scrape: &Scrape) {
    const COUNTERS: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];
    for ((name, labels), value) in &scrape.series {
        if !COUNTERS.iter().any(|end| name.ends_with(end)) {
            continue;
        }
        if let Some(before) = last.series.get(&(name.clone(), labels.clone())) {
            assert!(value >= before, "{name}{labels:?} went from {before} to {value}");
        }
    }
}

#[test]
fn promtool_finds_nothing() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    let directory = program::Directory::new();
    let answer = daemon.get("/metrics");
    let [out, err] = ["out", "err"].map(|name| directory.path(name));
    let create = |path| File::create(path).expect("the directory is ours");
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(create(&out))
        .stderr(create(&err))
        .spawn()
        .unwrap_or_else(|error| {
            panic!("cannot run promtool: {error}; install Debian's package prometheus")
        });
    let sent = promtool.stdin.take().expect("it is a pipe").write_all(&answer.body);
    let status = promtool.wait().expect("it is a child");
    let said = [out, err].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    assert_eq!(said, ["", ""]);
    assert!(sent.is_ok() && status.success(), "{status}");
}
