//! What would stop the ways to CloudWatch, or be lost on them.

use std::{collections::BTreeSet, net::SocketAddr};

use serde_json::Value;

use super::{
    aws::{self, LOGS, METRICS},
    otlp::{self, ERROR, Histogram, now_ns},
    setup::{Setup, up, wait},
};

/// Disks of a host: their histograms together are 5 MB, more than gRPC takes as one message.
const DISKS: usize = 5500;
/// As many as are sent at once.
const REQUEST: usize = 1100;
/// As many buckets as fit into a document.
const BUCKETS: usize = 90;
/// A count of nine bytes.
const COUNT: u64 = 1 << 56;

/// Longer ago than CloudWatch takes.
const LATE_NS: u64 = 15 * 24 * 3600 * 1_000_000_000;
/// Further ahead than it takes.
const EARLY_NS: u64 = 3 * 3600 * 1_000_000_000;

#[test]
fn an_interval_larger_than_a_message_arrives() {
    const NAME: &str = "monitor.block.device.latency";
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "10s")]);
    let pipeline = &setup.pipeline;
    let _moto = up(pipeline.start_moto());
    let _collector = up(pipeline.start_collector());
    let start_ns = now_ns();
    let buckets = vec![COUNT; BUCKETS];
    let made = Histogram { scale: 3, zeros: 0, offset: -160, buckets, sum: 1.0 };
    let names: Vec<String> = (0..DISKS).map(|number| format!("disk{number}")).collect();
    for names in names.chunks(REQUEST) {
        let metric = |name: &String| {
            let times = (start_ns, start_ns + 1_000_000_000);
            otlp::histogram(NAME, &[("system.device", name)], times, &made)
        };
        let metrics: Vec<Value> = names.iter().map(metric).collect();
        otlp::send_metrics(pipeline.addresses.collector.http, &metrics);
    }
    wait("every disk in CloudWatch", || {
        let documents = aws::documents(pipeline.addresses.moto, METRICS);
        let sums = documents.iter().filter_map(|document| document[NAME]["Sum"].as_f64());
        (sums.sum::<f64>() >= DISKS as f64).then_some(())
    });
}

#[test]
fn a_sample_whose_time_is_wrong_holds_up_no_other() {
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "2s")]);
    let pipeline = &setup.pipeline;
    let _moto = up(pipeline.start_moto());
    let _collector = up(pipeline.start_collector());
    let start_ns = now_ns();
    let made = Histogram { scale: 3, zeros: 0, offset: -160, buckets: vec![1], sum: 1.0 };
    let send = |name: &str, time_ns| {
        let metric = otlp::histogram(name, &[], (start_ns, time_ns), &made);
        otlp::send_metrics(pipeline.addresses.collector.http, &[metric]);
    };
    send("monitor.memory.reclaim.latency", start_ns + EARLY_NS);
    for name in ["monitor.sched.runqueue.latency", "monitor.block.device.latency"] {
        send(name, now_ns());
        wait(name, || {
            let documents = aws::documents(pipeline.addresses.moto, METRICS);
            documents.iter().any(|document| document[name]["Sum"] == 1.0).then_some(())
        });
    }
}

#[test]
fn a_record_whose_time_is_wrong_holds_up_no_other() {
    let setup = Setup::new(&[]);
    let pipeline = &setup.pipeline;
    let _services = setup.start();
    let _moto = up(pipeline.start_moto());
    let now_ns = now_ns();
    let send = |body: &str, time_ns| {
        let record = otlp::event("process.oom_kill", ERROR, time_ns, body, &[]);
        otlp::send_logs(pipeline.addresses.collector.http, &[record]);
    };
    send("late", now_ns - LATE_NS);
    send("early", now_ns + EARLY_NS);
    // In one batch with them, and in one of its own.
    for body in ["first", "second"] {
        send(body, now_ns);
        wait(body, || bodies(pipeline.addresses.moto).contains(body).then_some(()));
    }
    let bodies = bodies(pipeline.addresses.moto);
    assert_eq!(bodies, BTreeSet::from(["first", "second"].map(str::to_owned)));
}

/// What records say that are there, each of which has to be there once.
fn bodies(moto: SocketAddr) -> BTreeSet<String> {
    let documents = aws::documents(moto, LOGS);
    let body = |document: &Value| document["body"].as_str().expect("it is text").to_owned();
    let bodies: BTreeSet<String> = documents.iter().map(body).collect();
    assert_eq!(bodies.len(), documents.len(), "{documents:?}");
    bodies
}
