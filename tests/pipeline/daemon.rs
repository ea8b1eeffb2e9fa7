//! The daemon at a Collector: its histograms are in Prometheus as they are in the kernel's maps.

use std::{collections::BTreeSet, net::SocketAddr, process::Command};

use monitor_backends::{Addresses, TOKEN};
use monitor_common::sched::{LATENCIES, OFFCPU, RUNQUEUE};
use monitor_tests::{
    Workload,
    daemon::{
        program::{Daemon, clean, executable},
        stops::Stops,
    },
    maps::{Durations, Latencies, Maps},
    proc::Counters,
    serial, shown,
};

use super::{
    aws::{self, METRICS},
    otlp::now_ms,
    prometheus::{self, Native},
    setup::{Setup, up, wait},
};

/// The series of the host and of processes, by the place of what they measure.
const SERIES: [(usize, [&str; 2]); LATENCIES] = [
    (
        RUNQUEUE,
        ["monitor_sched_runqueue_latency_seconds", "monitor_process_runqueue_latency_seconds"],
    ),
    (OFFCPU, ["monitor_sched_offcpu_latency_seconds", "monitor_process_offcpu_latency_seconds"]),
];
/// A process that is looked at.
const COMMAND: &str = "mt-pipeline";
/// Longer than between two exports, so that every tick is exported.
const CONFIG: &str = "interval = \"2s\"";
/// How many ticks are looked at while the process works.
const LOOKS: u64 = 6;
/// How many have to be the same.
const TICKS: usize = 3;

/// A daemon that exports each second to a Collector, by gRPC.
fn program(collector: SocketAddr) -> Command {
    let mut program = clean(executable());
    program
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {TOKEN}"))
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
    program
}

/// Starts it, and waits until it has ticked.
pub(crate) fn start(collector: SocketAddr) -> Daemon {
    let daemon = Daemon::launch(program(collector), []);
    daemon.wait_ready();
    daemon
}

/// What the kernel's maps held at the end of a tick, before the daemon took it.
#[derive(Clone, Default)]
struct Tick {
    /// When the daemon went on, in milliseconds: it exports the tick with a later time.
    went_on: u64,
    /// The host's durations since the first tick.
    host: Latencies,
    /// Those of a process.
    process: Latencies,
}

/// The ticks of a daemon from its first, and a process that begins to work in the second.
struct Looks {
    stops: Stops,
    daemon: Daemon,
    maps: Maps,
    workload: Workload,
    ticks: Vec<Tick>,
}

impl Looks {
    /// Starts both.
    fn start(collector: SocketAddr) -> Self {
        let stops = Stops::new();
        let daemon = Daemon::configured(program(collector), CONFIG, []);
        let (maps, first, workload) = stops.look(&daemon, || {
            let (maps, mut first) = (Maps::of(daemon.pid()), Tick::default());
            maps.add_host(&mut first.host);
            let workload = Workload::start(COMMAND, ["sleep", "-", "20000", "500"]);
            first.went_on = now_ms();
            (maps, first, workload)
        });
        Self { stops, daemon, maps, workload, ticks: vec![first] }
    }

    /// Looks at more ticks.
    fn more(&mut self, ticks: u64) {
        let seen = self.ticks.len() as u64;
        for number in seen + 1..=seen + ticks {
            let mut tick = self.ticks.last().cloned().expect("the first is there");
            self.stops.look(&self.daemon, || {
                self.maps.add_host(&mut tick.host);
                self.maps.add_process(self.workload.pid(), &mut tick.process);
                tick.went_on = now_ms();
            });
            self.ticks.push(tick);
            let last = self.daemon.wait("the view of the tick", || {
                let last = self.daemon.get("/health").json()["tick"].as_u64();
                last.filter(|last| *last >= number)
            });
            assert_eq!(last, number, "ticks of which one was not looked at");
        }
    }
}

/// Compares Prometheus with the kernel's maps: at every tick for a process, and for the host as far as
/// no thread was about to be reaped, whose durations come a tick later. Returns at how many ticks
/// Prometheus had all of the host.
fn measure(addresses: Addresses) -> usize {
    let mut looks = Looks::start(addresses.collector.grpc);
    looks.more(LOOKS);
    looks.workload.done();
    let kernel = Counters::of_idle_process(looks.workload.pid());
    // The first of them may have ended before the process came to rest.
    looks.more(2);
    // The daemon has to send the last of them yet.
    let Looks { stops, daemon, workload, ticks, .. } = looks;
    stops.end(&daemon);
    workload.end();
    let shown = ticks.last().map_or(0, |tick| tick.process[RUNQUEUE].count());
    // sched_truth has what is between the two.
    let share = shown as f64 / kernel.times as f64;
    assert!(
        (0.99..=1.0).contains(&share),
        "{shown} times on a CPU, {} by the kernel",
        kernel.times
    );

    let same = SERIES.map(|(latency, [host, process])| {
        let process = format!(r#"{process}{{process_executable_name="{COMMAND}"}}"#);
        let lacks = compare(addresses.prometheus, &process, &ticks, |tick| &tick.process[latency]);
        assert!(lacks.len() >= TICKS && lacks.iter().all(|lacks| *lacks == 0), "{process}");
        let lacks = compare(addresses.prometheus, host, &ticks, |tick| &tick.host[latency]);
        lacks.iter().filter(|lacks| **lacks == 0).count()
    });
    same.into_iter().min().unwrap_or(0)
}

/// Compares what Prometheus has of a series with what the kernel's maps held. Returns how many
/// durations it lacks at each tick. Where that is none, all is the same.
fn compare<'a>(
    prometheus: SocketAddr,
    selector: &str,
    ticks: &'a [Tick],
    of: impl Fn(&'a Tick) -> &'a Durations,
) -> Vec<u64> {
    let last = ticks.last().expect("there are some").went_on;
    let samples = wait("the last tick", || {
        let samples = prometheus::histograms(prometheus, selector);
        samples.range(last..).next().is_some().then_some(samples)
    });
    let ends = ticks[1..].iter().map(|next| next.went_on).chain([u64::MAX]);
    let compare_tick = |(tick, end): (&'a Tick, u64)| {
        // Nothing is sent until the daemon knows on which host it is, nor what has not begun.
        let (time, sample) = samples.range(tick.went_on..end).next()?;
        let kernel = of(tick);
        let (has, held) = (sample.numbered(kernel.schema()), kernel.buckets());
        let held_of = |number| held.get(number).copied().unwrap_or(0);
        let is_possible = has.iter().all(|(number, count)| *count <= held_of(number));
        assert!(is_possible, "{selector} at {time}: {has:?} of {held:?}");
        let lacks = kernel.count() - has.values().sum::<u64>();
        if lacks == 0 {
            assert_same(prometheus, (selector, *time), sample, kernel);
        }
        Some(lacks)
    };
    let lacks: Vec<_> = ticks.iter().zip(ends).filter_map(compare_tick).collect();
    println!("{selector}: {} of {} ticks, lacking {lacks:?}", lacks.len(), ticks.len());
    lacks
}

/// Fails unless a sample, and what Prometheus makes of it, is what the kernel's maps held.
fn assert_same(
    prometheus: SocketAddr,
    (selector, time): (&str, u64),
    sample: &Native,
    kernel: &Durations,
) {
    let sum = kernel.sum_ns as f64 / 1e9;
    assert_eq!(sample.numbered(kernel.schema()), kernel.buckets(), "{selector} at {time}");
    assert_eq!((sample.count, sample.sum), (kernel.count(), sum), "{selector} at {time}");
    for (function, wanted) in [("histogram_count", kernel.count() as f64), ("histogram_sum", sum)] {
        let query = format!("{function}({selector} @ {})", time as f64 / 1e3);
        let answer = prometheus::query(prometheus, &query);
        let value = answer[0]["value"][1].as_str().and_then(|value| value.parse().ok());
        assert_eq!(value, Some(wanted), "{query}");
    }
}

#[test]
fn histograms_are_in_prometheus_as_in_the_kernels_maps() {
    let _serial = serial();
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "5s")]);
    let addresses = setup.pipeline.addresses;
    let _services = setup.start();
    let _moto = up(setup.pipeline.start_moto());
    let same = shown(|| measure(addresses), |same| *same >= TICKS);
    assert!(
        same >= TICKS,
        "{same} ticks of the host are the same: threads end all the time, or unseen"
    );
    headlines_are_in_cloudwatch(addresses.moto);
}

/// Those of the headline metrics that every host has.
fn headlines_are_in_cloudwatch(moto: SocketAddr) {
    let documents = aws::documents(moto, METRICS);
    let host = documents.first().expect("several intervals are over")["host.id"].clone();
    let host = host.as_str().expect("it is text");
    let names: BTreeSet<&str> =
        aws::headlines(&documents, host).into_iter().map(|(name, ..)| name).collect();
    for name in [
        "monitor.sched.runqueue.latency",
        "monitor.agent.lost",
        "system.cpu.time",
        "system.memory.utilization",
        "system.filesystem.utilization",
    ] {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    let intervals: BTreeSet<u64> =
        documents.iter().filter_map(|document| document["_aws"]["Timestamp"].as_u64()).collect();
    let size_bytes: usize = documents.iter().map(|document| document.to_string().len()).sum();
    println!(
        "{} metrics; {} documents of {} bytes in an interval",
        names.len(),
        documents.len() / intervals.len(),
        size_bytes / intervals.len()
    );
}

/// What a group counted before the first scrape of its series is in their increase.
#[test]
fn counters_begin_at_their_start_and_not_at_their_first_scrape() {
    const EARLY: &str = "mt-early";
    const SLEEPS: f64 = 200.0;
    let _serial = serial();
    let daemon = Daemon::start([]);
    let sleeper = Workload::start(EARLY, ["sleep", "-", "200", "1000"]);
    sleeper.done();
    sleeper.end();
    daemon.wait_ticks(1);
    let setup = Setup::new(&[]);
    let pipeline = &setup.pipeline;
    let _prometheus = up(pipeline.start_scraper(daemon.address));
    let selector =
        format!("monitor_process_context_switches_total{{process_executable_name=\"{EARLY}\"}}");
    let increase = wait("the increase of a counter", || {
        let query = format!("sum(increase({selector}[5m]))");
        let result = prometheus::query(pipeline.addresses.prometheus, &query);
        let increase: f64 = result.first()?["value"][1].as_str()?.parse().ok()?;
        (increase > 0.0).then_some(increase)
    });
    // The range is longer than the series, up to whose ends the increase is extrapolated.
    assert!((SLEEPS..SLEEPS * 2.0).contains(&increase), "{increase} of {SLEEPS}");
}
