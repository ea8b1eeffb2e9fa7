//! The daemon at a Collector: its histograms are in Prometheus as they are in the kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    thread,
    time::Duration,
};

use monitor_backends::TOKEN;
use monitor_tests::{
    Workload,
    daemon::{
        program::{Daemon, clean, executable},
        scrape::{Buckets, Scrape},
    },
    proc::Counters,
    serial,
};

use super::{
    aws::{self, METRICS},
    otlp::now_ms,
    prometheus::{self, Native},
    setup::{Setup, up, wait},
};

pub(crate) const HOST: &str = "monitor_sched_runqueue_latency_seconds";
const PROCESS: &str = "monitor_process_runqueue_latency_seconds";
/// A process that is looked at.
const COMMAND: &str = "mt-pipeline";
/// How many ticks have to be the same.
const TICKS: usize = 3;

/// A daemon that exports each second to a Collector, by gRPC.
pub(crate) fn start(collector: SocketAddr) -> Daemon {
    let mut program = clean(executable());
    program
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {TOKEN}"))
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
    let daemon = Daemon::launch(program, []);
    daemon.wait_ready();
    daemon
}

/// Waits until Prometheus has a sample of the host of just now.
pub(crate) fn wait_for_samples(prometheus: SocketAddr) {
    wait("metrics after the outage", || {
        let since = now_ms() - 2000;
        let samples = prometheus::histograms(prometheus, HOST);
        samples.keys().next_back().is_some_and(|time| *time > since).then_some(())
    });
}

/// Fails unless what is counted of the host went on where it was.
pub(crate) fn assert_never_reset(prometheus: SocketAddr) {
    let resets = prometheus::query(prometheus, &format!("resets({HOST}[1h])"));
    assert_eq!(resets[0]["value"][1], "0");
}

/// A histogram that the daemon served: its scale, sum and buckets.
pub(crate) type Served = (i32, f64, Buckets);

/// What the daemon serves of a host's and of a process's series in some seconds, by its count.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) host: BTreeMap<u64, Served>,
    process: BTreeMap<u64, Served>,
}

impl Seen {
    /// Looks for eight seconds or more.
    pub(crate) fn look(&mut self, daemon: &Daemon) {
        // Each tick is seen several times.
        for _ in 0..40 {
            let scrape = Scrape::protobuf(daemon);
            self.host.extend(served(&scrape, HOST, None));
            self.process.extend(served(&scrape, PROCESS, Some(COMMAND)));
            thread::sleep(Duration::from_millis(200));
        }
    }
}

/// What was served of a series, with its count.
fn served(scrape: &Scrape, name: &str, command: Option<&str>) -> Option<(u64, Served)> {
    let ((_, labels), (schema, buckets)) = scrape.native.iter().find(|((other, labels), _)| {
        other == name && labels.get("process_executable_name").map(String::as_str) == command
    })?;
    let sum = scrape.series[&(format!("{name}_sum"), labels.clone())];
    // Those that are empty are not told.
    let buckets = buckets.iter().filter(|(_, count)| **count > 0);
    let buckets: Buckets = buckets.map(|(number, count)| (*number, *count)).collect();
    Some((buckets.values().sum(), (*schema, sum, buckets)))
}

/// Fails unless the samples that are of ticks which were seen are what the daemon served then.
pub(crate) fn assert_same(samples: &[Native], seen: &BTreeMap<u64, Served>, what: &str) {
    let mut same = BTreeSet::new();
    for sample in samples {
        let Some((schema, sum, buckets)) = seen.get(&sample.count) else { continue };
        assert_eq!(sample.sum, *sum, "sum of {what}");
        assert_eq!(&sample.numbered(*schema), buckets, "buckets of {what}");
        same.insert(sample.count);
    }
    println!("{what}: {} of {} ticks seen are in Prometheus", same.len(), seen.len());
    assert!(same.len() >= TICKS, "{same:?} of {what}, of {:?}", seen.keys());
}

#[test]
fn histograms_are_in_prometheus_bucket_by_bucket() {
    let _serial = serial();
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "5s")]);
    let addresses = setup.pipeline.addresses;
    let _services = setup.start();
    let _moto = up(setup.pipeline.start_moto());
    let daemon = start(addresses.collector.grpc);

    let workload = Workload::start(COMMAND, ["sleep", "-", "20000", "500"]);
    let mut seen = Seen::default();
    seen.look(&daemon);
    workload.done();
    let kernel = Counters::of_idle_process(workload.pid());
    daemon.wait_ticks(1);
    // What it counted in all.
    seen.look(&daemon);
    let (last, _) = seen.process.last_key_value().expect("it has a series");
    let shown = *last as f64 / kernel.times as f64;
    // sched_truth has what is between the two.
    assert!((0.99..=1.0).contains(&shown), "{last} times on a CPU, {} by the kernel", kernel.times);
    let selector = format!(r#"{PROCESS}{{process_executable_name="{COMMAND}"}}"#);
    let samples = wait("the last of the process", || {
        let samples = prometheus::histograms(addresses.prometheus, &selector);
        (samples.values().next_back()?.count == *last).then_some(samples)
    });
    assert_same(&samples.into_values().collect::<Vec<_>>(), &seen.process, "a process");
    let samples = prometheus::histograms(addresses.prometheus, HOST);
    assert_same(&samples.into_values().collect::<Vec<_>>(), &seen.host, "the host");
    workload.end();
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
