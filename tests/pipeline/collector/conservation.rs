//! No step of a configuration changes a total: what all series of a metric counted is in the store, whatever becomes of
//! the series meanwhile.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::Path, thread, time::Duration};

use monitor::{
    export::name::metric_name,
    metric::{self, Kind, MetricDesc},
};
use monitor_backends::{Addresses, Collector, Ports, Service, Starts, free_port};
use serde_json::Value;

use crate::{
    aws::{self, METRICS},
    otlp::{self, HOST, Histogram, now_ns},
    prometheus,
    setup::{Setup, up, wait},
};

/// Exports of a daemon.
const ROUNDS: usize = 5;
/// Time before each of them. Of the last three, two at least are in one interval of CloudWatch.
const APART_MS: [u64; ROUNDS] = [1200, 1200, 1200, 50, 50];

/// Time in which what comes twice is there: the longest interval of an export, and that of a batch.
const SETTLED: Duration = Duration::from_secs(3);

/// A series: its value in each round, `None` where it is absent, and when it is reset.
struct Life {
    name: &'static str,
    values: [Option<u64>; ROUNDS],
    /// The rounds before which it starts.
    starts: &'static [usize],
}

const LIVES: [Life; 5] = [
    Life { name: "steady", values: [Some(1), Some(2), Some(4), Some(8), Some(16)], starts: &[0] },
    Life { name: "late", values: [None, None, Some(5), Some(6), Some(9)], starts: &[2] },
    Life { name: "ended", values: [Some(3), Some(7), None, None, None], starts: &[0] },
    // Evicted, and larger when it comes back.
    Life {
        name: "returned",
        values: [Some(10), Some(11), None, Some(20), Some(21)],
        starts: &[0, 3],
    },
    // Of a daemon that restarts twice.
    Life {
        name: "restarted",
        values: [Some(4), Some(5), Some(6), Some(1), Some(2)],
        starts: &[0, 3, 4],
    },
];

impl Life {
    /// What it counted.
    fn total(&self) -> u64 {
        let ends = self.starts[1..].iter().copied().chain([ROUNDS]);
        let last = |end: usize| self.values[..end].iter().flatten().last().copied().unwrap_or(0);
        ends.map(last).sum()
    }

    /// What a store knows of it that takes no account of starts: growth from the first value on, and resets only where
    /// a value goes down.
    fn growth(&self) -> u64 {
        let values: Vec<_> = self.values.iter().flatten().copied().collect();
        let step = |pair: &[u64]| if pair[1] < pair[0] { pair[1] } else { pair[1] - pair[0] };
        values.windows(2).map(step).sum()
    }
}

fn total() -> f64 {
    LIVES.iter().map(Life::total).sum::<u64>() as f64
}

/// The counters and histograms of the catalogue.
fn counted() -> impl Iterator<Item = &'static MetricDesc> {
    metric::catalogue().filter(|metric| matches!(metric.kind, Kind::Counter | Kind::Histogram))
}

/// The attributes of a series: none that one of the configurations leaves out.
fn attributes<'a>(metric: &MetricDesc, life: &'a Life) -> Vec<(&'static str, &'a str)> {
    let mut attributes = vec![("test.life", life.name)];
    match metric.name {
        "system.cpu.time" => attributes.push(("cpu.mode", "user")),
        "monitor.host.pressure.time" => {
            attributes.push(("monitor.pressure.resource", "memory"));
            attributes.push(("monitor.pressure.stall_type", "full"));
        }
        "monitor.agent.lost" => attributes.push(("monitor.loss.reason", "test")),
        _ => {}
    }
    attributes
}

fn point(metric: &MetricDesc, life: &Life, times: (u64, u64), value: u64) -> Value {
    let attributes = attributes(metric, life);
    if metric.kind == Kind::Counter {
        return otlp::counter(metric.name, metric.unit, times, &[(&attributes, value)]);
    }
    let sum = value as f64 / 1024.0;
    let buckets = vec![value];
    let histogram = Histogram { scale: 3, zeros: 0, offset: -80, buckets, sum };
    otlp::histogram(metric.name, &attributes, times, &histogram)
}

/// Sends all rounds.
fn send(collector: SocketAddr) {
    // After the Collector's start, so that it knows that these are the first values.
    let mut starts = BTreeMap::new();
    for (round, apart_ms) in APART_MS.into_iter().enumerate() {
        thread::sleep(Duration::from_millis(apart_ms));
        let mut metrics = Vec::new();
        let start_ns = now_ns();
        for life in LIVES.iter().filter(|life| life.starts.contains(&round)) {
            starts.insert(life.name, start_ns);
        }
        thread::sleep(Duration::from_millis(50));
        let time_ns = now_ns();
        for life in &LIVES {
            let Some(value) = life.values[round] else { continue };
            metrics
                .extend(counted().map(|it| point(it, life, (starts[life.name], time_ns), value)));
        }
        otlp::send_metrics(collector, &metrics);
    }
}

/// Waits until Prometheus has as much of every metric; fails if it has more.
fn assert_in_prometheus(prometheus: SocketAddr, expected: f64) {
    let names: Vec<_> = counted().map(metric_name).collect();
    let is_complete = |growth: &BTreeMap<String, f64>| {
        names.iter().all(|name| growth.get(name).is_some_and(|grown| *grown >= expected))
    };
    let growth = || prometheus::growth(prometheus, r#"{test_life!=""}"#);
    for _ in 0..50 {
        if is_complete(&growth()) {
            break;
        }
        thread::sleep(Duration::from_millis(500));
    }
    thread::sleep(SETTLED);
    let last = growth();
    let wrong: Vec<_> = names
        .iter()
        .map(|name| (name, last.get(name).copied()))
        .filter(|(_, grown)| *grown != Some(expected))
        .collect();
    assert!(wrong.is_empty(), "not {expected}, of {}: {wrong:?}", names.len());
    println!("{} metrics: planted {}, in the store {expected}", names.len(), total());
}

/// A configuration that takes data from this host without encryption, where the gateway's asks for it.
fn in_plain_text(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("plain.yaml");
    let text = "receivers: {otlp: {protocols: {http: {tls: null}, grpc: {tls: null}}}}\n";
    fs::write(&path, text).expect("the folder is ours");
    path
}

/// A Collector with these files, whose Prometheus is that of the pipeline.
fn collector(setup: &Setup, ports: Ports, configs: &[&'static str]) -> Collector {
    let Addresses { prometheus, logs, moto, .. } = setup.pipeline.addresses;
    let collector = Collector::new(ports, configs).stores(prometheus, logs, moto);
    match configs.contains(&"gateway.yaml") {
        false => collector,
        true => {
            collector.changed_by(&in_plain_text(setup.folder())).with("COLLECTOR_HOST", "127.0.0.1")
        }
    }
}

fn start(setup: &Setup, name: &str, collector: &Collector) -> Service {
    up(setup.pipeline.start_another(collector, &setup.folder().join(name)))
}

#[test]
fn prometheus_has_all_of_every_metric_where_it_uses_starts() {
    for (configs, name) in
        [(&["agent.yaml"][..], "agent"), (&["agent.yaml", "gateway.yaml"], "gateway")]
    {
        let setup = Setup::new(&[]);
        let addresses = setup.pipeline.addresses;
        let _prometheus = up(setup.pipeline.start_prometheus_with(Starts::Used));
        let _collector = start(&setup, name, &collector(&setup, addresses.collector, configs));
        send(addresses.collector.http);
        assert_in_prometheus(addresses.prometheus, total());
    }
}

/// It cannot know what a series counted before its first sample.
#[test]
fn prometheus_has_all_growth_from_the_first_sample_on_where_it_uses_no_starts() {
    let setup = Setup::new(&[]);
    let addresses = setup.pipeline.addresses;
    let _prometheus = up(setup.pipeline.start_prometheus());
    let _collector =
        start(&setup, "agent", &collector(&setup, addresses.collector, &["agent.yaml"]));
    send(addresses.collector.http);
    assert_in_prometheus(addresses.prometheus, LIVES.iter().map(Life::growth).sum::<u64>() as f64);
}

#[test]
fn prometheus_has_all_of_every_metric_through_kafka() {
    let setup = Setup::new(&[]);
    let Addresses { prometheus, collector: ports, .. } = setup.pipeline.addresses;
    let broker = up(free_port(0));
    let _prometheus = up(setup.pipeline.start_prometheus_with(Starts::Used));
    let _kafka = up(setup.pipeline.start_kafka(broker, &["monitor_metrics", "monitor_logs"]));
    let brokers = format!("[{broker}]");
    let to = collector(&setup, ports, &["agent.yaml", "gateway.yaml", "kafka-out.yaml"]);
    let from = collector(&setup, up(Ports::free()), &["agent.yaml", "kafka-in.yaml"]);
    let _from = start(&setup, "from-kafka", &from.with("KAFKA_BROKERS", &*brokers));
    let _to = start(&setup, "to-kafka", &to.with("KAFKA_BROKERS", &*brokers));
    send(ports.http);
    assert_in_prometheus(prometheus, total());
}

/// By a receiver for OTLP in its place, which gets the same requests.
#[test]
fn cloudwatch_has_all_of_every_metric_by_otlp() {
    let setup = Setup::new(&[]);
    let addresses = setup.pipeline.addresses;
    let _prometheus = up(setup.pipeline.start_prometheus_with(Starts::Used));
    let path = setup.folder().join("endpoint.yaml");
    let endpoint = format!("http://{}/api/v1/otlp/v1/metrics", addresses.prometheus);
    let text =
        format!("exporters: {{otlp_http/cloudwatch_metrics: {{metrics_endpoint: {endpoint}}}}}\n");
    fs::write(&path, text).expect("the folder is ours");
    let configs = ["agent.yaml", "cloudwatch-otlp.yaml"];
    let collector = collector(&setup, addresses.collector, &configs).changed_by(&path);
    // Nothing comes there by the other way.
    let collector = collector.with("PROMETHEUS_OTLP_URL", "http://127.0.0.1:1");
    let _collector = start(&setup, "agent", &collector);
    send(addresses.collector.http);
    assert_in_prometheus(addresses.prometheus, total());
}

#[test]
fn cloudwatch_has_all_of_the_headline_metrics() {
    for configs in
        [&["agent.yaml", "cloudwatch.yaml"][..], &["agent.yaml", "gateway.yaml", "cloudwatch.yaml"]]
    {
        let setup = Setup::new(&[]);
        let addresses = setup.pipeline.addresses;
        let _moto = up(setup.pipeline.start_moto());
        let collector = collector(&setup, addresses.collector, configs);
        let _collector = start(&setup, "agent", &collector.with("CLOUDWATCH_INTERVAL", "2s"));
        send(addresses.collector.http);
        let headlines = || -> BTreeMap<String, f64> {
            let mut totals = BTreeMap::new();
            let documents = aws::documents(addresses.moto, METRICS);
            for (name, _, value) in aws::headlines(&documents, HOST) {
                let counted = value.as_f64().or_else(|| value["Count"].as_f64());
                *totals.entry(name.to_owned()).or_default() +=
                    counted.expect("a number or a histogram");
            }
            totals
        };
        wait("all headline metrics", || {
            let totals = headlines();
            let is_complete = totals.len() == HEADLINES && totals.values().all(|it| *it >= total());
            (is_complete || totals.values().any(|it| *it > total())).then_some(())
        });
        thread::sleep(SETTLED);
        let totals = headlines();
        assert!(totals.values().all(|it| *it == total()), "not {}: {totals:?}", total());
        println!("{configs:?}: {totals:?}");
    }
}

/// Counters and histograms among the headline metrics.
const HEADLINES: usize = 8;
