//! The wall clock of the daemon is set, and a receiver of OTLP has what happened all the same.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use monitor_tests::{Workload, serial};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{Metric, metric::Data, number_data_point::Value},
};
use prost::Message;

use super::{
    otlp::{Receiver, texts},
    program::{Daemon, Directory, eventually},
};

/// Seconds in an hour.
const HOUR: i64 = 3600;

/// A wall clock that only the daemon sees.
struct Clock(Directory);

impl Clock {
    /// Ahead of the host's by so many seconds.
    fn new(ahead: i64) -> Self {
        let directory = Directory::new();
        let source = directory.file("clock.c", include_str!("clock.c"));
        let library = directory.path("clock.so");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).args([&library, &source]);
        let built = compiler.status();
        assert!(built.expect("rustc needs it too").success());
        let clock = Self(directory);
        clock.set(ahead);
        clock
    }

    fn set(&self, ahead: i64) {
        // In one piece: it is read all the time.
        let new = self.0.file("new", &ahead.to_string());
        std::fs::rename(new, self.0.path("ahead")).expect("both are ours");
    }

    fn apply(&self, program: &mut Command) {
        program.env("LD_PRELOAD", self.0.path("clock.so")).env("TEST_CLOCK", self.0.path("ahead"));
    }
}

/// A series as a receiver sees it.
#[derive(Default)]
pub(super) struct Received {
    /// Each start it had, and the last value since then.
    pub(super) runs: Vec<(u64, f64)>,
}

impl Received {
    fn add(&mut self, name: &str, start: u64, value: f64) {
        match self.runs.last_mut() {
            Some((same, last)) if *same == start => {
                assert!(value >= *last, "{name} went down from {last} to {value}");
                *last = value;
            }
            _ => self.runs.push((start, value)),
        }
    }

    /// What it counted: a new start is a reset.
    pub(super) fn total(&self) -> f64 {
        self.runs.iter().map(|(_, last)| last).sum()
    }
}

/// All that was received of counters and histograms, by metric and attributes.
pub(super) fn series(receiver: &Receiver) -> BTreeMap<String, Received> {
    let mut series = BTreeMap::<_, Received>::new();
    let mut exemplars = BTreeMap::new();
    for body in receiver.bodies("/v1/metrics") {
        let request = ExportMetricsServiceRequest::decode(body.as_slice()).expect("a message");
        let of_resources = request.resource_metrics.into_iter();
        let scopes = of_resources.flat_map(|of_resource| of_resource.scope_metrics);
        for Metric { name, data, .. } in scopes.flat_map(|of_scope| of_scope.metrics) {
            let mut add = |attributes: &_, start, time, value| {
                assert!(start <= time, "{name} begins {} s late", (start - time) as f64 / 1e9);
                let key = format!("{name} {:?}", texts(attributes));
                series.entry(key).or_default().add(&name, start, value);
            };
            match data {
                Some(Data::Sum(sum)) if sum.is_monotonic => {
                    for it in sum.data_points {
                        let Some(Value::AsDouble(value)) = it.value else { panic!("{it:?}") };
                        add(&it.attributes, it.start_time_unix_nano, it.time_unix_nano, value);
                    }
                }
                Some(Data::ExponentialHistogram(histogram)) => {
                    for it in histogram.data_points {
                        let (start, time) = (it.start_time_unix_nano, it.time_unix_nano);
                        add(&it.attributes, start, time, it.count as f64);
                        let key = format!("{name} {:?}", texts(&it.attributes));
                        let newest = exemplars.entry(key).or_insert(0);
                        for exemplar in it.exemplars {
                            let time = exemplar.time_unix_nano;
                            assert!(time >= *newest, "an older exemplar of {name}");
                            *newest = time;
                        }
                    }
                }
                _ => {}
            }
        }
    }
    series
}

/// The only series of a metric with attributes that contain `part`.
pub(super) fn find<'a>(
    series: &'a BTreeMap<String, Received>,
    metric: &str,
    part: &str,
) -> Option<&'a Received> {
    let is_it = |key: &str| key.starts_with(&format!("{metric} ")) && key.contains(part);
    let mut found = series.iter().filter(|(key, _)| is_it(key));
    let first = found.next().map(|(_, received)| received);
    assert!(found.next().is_none(), "{metric} of {part} is more than one series");
    first
}

/// Runs processes, and waits until the receiver knows of all `total` ends of such.
fn run(receiver: &Receiver, count: usize, total: usize) {
    (0..count).for_each(|_| Workload::start("mt-clock", ["nothing"]).end());
    let known = || {
        let series = series(receiver);
        let ends = find(&series, "monitor.process.exits", "mt-clock")?.total();
        (ends >= total as f64).then_some(())
    };
    eventually(known).unwrap_or_else(|| panic!("{total} ends do not arrive"));
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later")
}

#[test]
fn a_wall_clock_that_was_ahead_at_the_start_is_set_back() {
    let _serial = serial();
    let (clock, receiver) = (Clock::new(HOUR), Receiver::start());
    let mut program = receiver.program();
    clock.apply(&mut program);
    let daemon = Daemon::launch(program, ["--interval", "200ms"]);
    daemon.wait_ready();
    run(&receiver, 3, 3);
    // What is sent shows what the last ticks counted, as soon as no request is under way that was made before.
    daemon.wait_ticks(1);
    let sent = receiver.bodies("/v1/metrics").len();
    eventually(|| (receiver.bodies("/v1/metrics").len() > sent + 1).then_some(()))
        .expect("metrics are sent");
    let before = series(&receiver);
    let of = |metric, part| find(&before, metric, part).expect("it is measured");
    let cpu = of("system.cpu.time", r#""cpu.logical_number": "0", "cpu.mode": "user""#);
    let waits = of("monitor.sched.runqueue.latency", "");
    assert_eq!((cpu.runs.len(), waits.runs.len()), (1, 1), "each began once");
    assert!(waits.runs[0].0 > (now() + Duration::from_secs(1800)).as_nanos() as u64);

    clock.set(0);
    run(&receiver, 4, 7);
    assert_eq!(daemon.log().matches("the wall clock stepped back").count(), 1, "{}", daemon.log());
    let (after, end) = (series(&receiver), now().as_nanos() as u64);
    let of = |metric, part| find(&after, metric, part).expect("it is measured");
    let exits = of("monitor.process.exits", "mt-clock");
    assert_eq!(exits.total(), 7.0, "{:?}", exits.runs);
    let restart = of("monitor.sched.runqueue.latency", "").runs[1].0;
    assert!(restart < end);
    for (key, received) in &after {
        let starts: Vec<_> = received.runs.iter().map(|(start, _)| *start).collect();
        assert!(starts.len() <= 2, "{key} began at {starts:?}");
        if before.contains_key(key) && starts.len() == 2 {
            assert_eq!(starts[1], restart, "{key} did not restart with the others");
        }
    }
    // Records wait for others to go with them.
    let ends_of_now = || {
        let now = now().as_nanos() as u64;
        let records = receiver.records().into_iter().filter(|(it, attributes)| {
            it.event_name == "process.exit" && attributes["process.executable.name"] == "mt-clock"
        });
        let is_of_now = |time: u64| time <= now && now - time < 60_000_000_000;
        let count = records.filter(|(it, _)| is_of_now(it.time_unix_nano)).count();
        (count == 4).then_some(())
    };
    eventually(ends_of_now).expect("events have the time of the clock that was set");
}

#[test]
fn starts_stay_where_they_are_when_the_wall_clock_is_set_ahead() {
    let _serial = serial();
    let (clock, receiver) = (Clock::new(-2 * HOUR), Receiver::start());
    let mut program = receiver.program();
    clock.apply(&mut program);
    let daemon = Daemon::launch(program, ["--interval", "200ms"]);
    daemon.wait_ready();
    run(&receiver, 2, 2);
    clock.set(0);
    run(&receiver, 2, 4);
    let series = series(&receiver);
    let exits = find(&series, "monitor.process.exits", "mt-clock").expect("it is measured");
    assert_eq!(exits.total(), 4.0);
    for (key, received) in &series {
        assert_eq!(received.runs.len(), 1, "{key} began again: {:?}", received.runs);
    }
}
