//! What is sent arrives, in each store in its own form.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use serde_json::{Value, json};

use crate::{
    aws::{self, LOGS, METRICS},
    logs,
    otlp::{self, DEBUG, ERROR, HOST, Histogram, millis, now_ns},
    prometheus::{self, Samples},
    setup::{Setup, up, wait},
};

/// Ticks of the daemon.
const TICKS: u64 = 3;
const TICK_NS: u64 = 1_000_000_000;

/// What a host's run-queue latency might be after some ticks: every bucket grows, one stays empty.
fn waits(ticks: u64) -> Histogram {
    let buckets = [1, 0, 7, 12_345].map(|count| count * ticks).to_vec();
    Histogram { scale: 3, zeros: 2 * ticks, offset: -160, buckets, sum: 0.125 * ticks as f64 }
}

/// What that of a process might be, at its scale.
fn process_waits(ticks: u64) -> Histogram {
    let buckets = vec![3 * ticks, ticks];
    Histogram { scale: 1, zeros: 0, offset: -41, buckets, sum: 0.0625 * ticks as f64 }
}

/// A histogram after some ticks.
type Made = fn(u64) -> Histogram;

/// The metrics of a tick. All of them began with the first.
fn metrics(start_ns: u64, ticks: u64) -> Vec<Value> {
    let times = (start_ns, start_ns + ticks * TICK_NS);
    let group = [("process.executable.name", "made"), ("container.name", "web")];
    let disk = |direction| [("system.device", "sda"), ("disk.io.direction", direction)];
    vec![
        otlp::histogram("monitor.sched.runqueue.latency", &[], times, &waits(ticks)),
        otlp::histogram("monitor.process.runqueue.latency", &group, times, &process_waits(ticks)),
        otlp::histogram("monitor.block.device.latency", &disk("read"), times, &waits(ticks)),
        otlp::histogram("monitor.block.device.latency", &disk("write"), times, &waits(ticks)),
        otlp::counter(
            "monitor.process.oom_kills",
            "{event}",
            times,
            &[
                (&[("process.executable.name", "a"), ("container.name", "a")], ticks),
                // Anybody may call a program so.
                (&[("process.executable.name", "(evicted)"), ("container.name", "b")], 2 * ticks),
                (&[("process.executable.name", "(evicted)")], 50 * ticks),
            ],
        ),
        otlp::counter(
            "monitor.tcp.retransmits",
            "{segment}",
            times,
            &[
                (&[("server.address", "10.0.0.1"), ("monitor.tcp.role", "client")], 5 * ticks),
                (&[("server.address", "(other)"), ("monitor.tcp.role", "client")], 6 * ticks),
                (&[("server.address", "(evicted)"), ("monitor.tcp.role", "client")], 70 * ticks),
            ],
        ),
        otlp::counter(
            "system.cpu.time",
            "s",
            times,
            &[
                (&[("cpu.mode", "user")], 3 * ticks),
                (&[("cpu.mode", "system")], 4 * ticks),
                (&[("cpu.mode", "idle")], 100 * ticks),
            ],
        ),
        otlp::gauge(
            "system.filesystem.utilization",
            times.1,
            &[
                (&[("system.filesystem.state", "used"), ("system.device", "a")], 0.5),
                (&[("system.filesystem.state", "used"), ("system.device", "b")], 0.75),
                (&[("system.filesystem.state", "free"), ("system.device", "a")], 0.9),
            ],
        ),
    ]
}

#[test]
fn made_data_arrives_in_every_store() {
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "5s")]);
    let addresses = setup.pipeline.addresses;
    let _services = setup.start();
    let collector = addresses.collector.http;
    assert_eq!(otlp::status_with_token(collector, "wrong"), 401);

    // After the Collector's start, so it knows that these are the first values.
    let start_ns = now_ns();
    for ticks in 1..=TICKS {
        otlp::send_metrics(collector, &metrics(start_ns, ticks));
    }
    let attributes = [("container.name", "web"), ("process.executable.name", "victim")];
    let kill = otlp::event("process.oom_kill", ERROR, start_ns, "victim was killed", &attributes);
    let exec = otlp::event("process.exec", DEBUG, start_ns, "sh", &[("container.name", "other")]);
    otlp::send_logs(collector, &[kill, exec]);

    histograms_are_the_same(addresses.prometheus, start_ns);
    an_event_is_found_by_its_container(addresses.logs, start_ns);
    // By now documents are made that nobody takes.
    let _moto = up(setup.pipeline.start_moto());
    headline_metrics_are_documents(addresses.moto);
    records_are_kept_for_a_week(addresses.moto);
}

/// Every tick of a host's and of a process's series.
fn histograms_are_the_same(prometheus: SocketAddr, start_ns: u64) {
    let series: [(&str, Made); 2] = [
        (r#"monitor_sched_runqueue_latency_seconds{job="monitor",host_name="made-host"}"#, waits),
        (
            r#"monitor_process_runqueue_latency_seconds{process_executable_name="made",container_name="web"}"#,
            process_waits,
        ),
    ];
    for (selector, made) in series {
        let samples: Samples<_> = wait(selector, || {
            let samples = prometheus::histograms(prometheus, selector);
            (samples.len() as u64 == TICKS).then_some(samples)
        });
        for ticks in 1..=TICKS {
            let time = millis(start_ns + ticks * TICK_NS);
            let sample =
                samples.get(&time).unwrap_or_else(|| panic!("no sample at {time}: {samples:?}"));
            sample.assert_is(&made(ticks));
        }
    }
    let count = format!("histogram_count({})", series[0].0);
    assert_eq!(
        prometheus::query(prometheus, &count)[0]["value"][1],
        waits(TICKS).count().to_string()
    );
}

fn an_event_is_found_by_its_container(logs: SocketAddr, start_ns: u64) {
    let records = wait("an event in the log store", || {
        let records = logs::find(logs, &[("container.name", "web")]);
        (!records.is_empty()).then_some(records)
    });
    let [record] = &records[..] else { panic!("{} records, not one", records.len()) };
    assert_eq!(logs::time_ns(record), start_ns);
    for (name, value) in [
        ("_msg", "victim was killed"),
        ("event.name", "process.oom_kill"),
        ("process.executable.name", "victim"),
        ("severity_text", "ERROR"),
        ("host.id", HOST),
    ] {
        assert_eq!(record[name], value, "{record}");
    }
}

/// Over all documents: what was added up, by metric and, of gauges, what was said last.
fn headline_metrics_are_documents(moto: SocketAddr) {
    // The sum of what is in the documents, until all of it is.
    let documents = wait("all documents", || {
        let documents = aws::documents(moto, METRICS);
        let killed: f64 = documents
            .iter()
            .filter_map(|document| document["monitor.process.oom_kills"].as_f64())
            .sum();
        (killed >= 3.0 * TICKS as f64).then_some(documents)
    });
    assert_eq!(aws::retention(moto, METRICS), Some(7.into()));
    let mut units = BTreeMap::new();
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    let mut buckets = BTreeMap::new();
    for (name, unit, value) in aws::headlines(&documents, HOST) {
        units.insert(name, unit);
        *sums.entry(name).or_default() +=
            value.as_f64().or_else(|| value["Sum"].as_f64()).expect("a number or a histogram");
        if name == "monitor.sched.runqueue.latency" {
            add_buckets(value, &mut buckets);
        }
    }
    let wanted = BTreeMap::from([
        ("monitor.sched.runqueue.latency", "Seconds"),
        ("monitor.block.device.latency", "Seconds"),
        ("monitor.process.oom_kills", "Count"),
        ("monitor.tcp.retransmits", "Count"),
        ("system.cpu.time", "Seconds"),
        ("system.filesystem.utilization", "None"),
    ]);
    assert_eq!(units, wanted);
    assert_eq!(sums["monitor.sched.runqueue.latency"], waits(TICKS).sum);
    assert_eq!(sums["monitor.block.device.latency"], 2.0 * waits(TICKS).sum);
    // What groups and services counted that lost their places is not counted once more.
    assert_eq!(sums["monitor.process.oom_kills"], 3.0 * TICKS as f64);
    assert_eq!(sums["monitor.tcp.retransmits"], 11.0 * TICKS as f64);
    assert_eq!(sums["system.cpu.time"], 7.0 * TICKS as f64, "of CPUs that were busy");
    // The fullest, once an interval.
    let fullest: BTreeSet<String> = documents
        .iter()
        .map(|document| document["system.filesystem.utilization"].to_string())
        .collect();
    assert_eq!(fullest, BTreeSet::from(["0.75", "null"].map(str::to_owned)));
    let counts: Vec<f64> = buckets.into_values().collect();
    let Histogram { zeros, buckets, .. } = waits(TICKS);
    let made = [zeros].into_iter().chain(buckets).filter(|count| *count > 0);
    let made: Vec<f64> = made.map(|count| count as f64).collect();
    assert_eq!(counts, made, "buckets of the run-queue latency");
}

/// Adds what a document has of a histogram: counts by the middles of buckets, none of which is negative.
fn add_buckets(value: &Value, buckets: &mut BTreeMap<u64, f64>) {
    let numbers = |key: &str| -> Vec<f64> {
        let list = value[key].as_array().expect("a histogram has lists");
        list.iter().map(|number| number.as_f64().expect("of numbers")).collect()
    };
    for (middle, count) in numbers("Values").into_iter().zip(numbers("Counts")) {
        // Such numbers are in the order of their bits.
        *buckets.entry(middle.to_bits()).or_default() += count;
    }
    // README.md says so; when this fails, that can be better.
    assert_eq!((&value["Min"], &value["Max"]), (&json!(0), &json!(0)));
}

fn records_are_kept_for_a_week(moto: SocketAddr) {
    let documents = wait("records in CloudWatch", || {
        let documents = aws::documents(moto, LOGS);
        (!documents.is_empty()).then_some(documents)
    });
    assert_eq!(aws::retention(moto, LOGS), Some(7.into()));
    // Not the program that was started.
    let [kill] = &documents[..] else { panic!("{} records, not one", documents.len()) };
    assert_eq!(kill["body"], "victim was killed");
    assert_eq!(kill["attributes"]["event.name"], "process.oom_kill");
    assert_eq!(kill["resource"]["host.id"], HOST);
}
