//! What would stop the ways to CloudWatch, or be lost on them.

use std::{collections::BTreeSet, net::SocketAddr, thread, time::Duration};

use serde_json::Value;

use crate::{
    aws::{self, LOGS, METRICS},
    otlp::{self, ERROR, HOST, Histogram, now_ns},
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
/// As long ago as its exporters still get.
const WEEK_NS: u64 = 7 * 24 * 3600 * 1_000_000_000;
/// How long a sample is in the queue that grows too old there.
const QUEUED: Duration = Duration::from_secs(15);
/// How long an attempt may last that began before: awsemf gives itself 5 s, and tries several times in them.
const ATTEMPT: Duration = Duration::from_secs(10);

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
    let send = |name: &str, time_ns| {
        let metric = one(name, start_ns, time_ns);
        otlp::send_metrics(pipeline.addresses.collector.http, &[metric]);
    };
    // In one interval with a right one of its series, which it does not take the place of.
    send("monitor.sched.runqueue.latency", start_ns + EARLY_NS);
    send("monitor.memory.reclaim.latency", start_ns - LATE_NS);
    let right = ["monitor.sched.runqueue.latency", "monitor.block.device.latency"];
    for name in right {
        send(name, now_ns());
        wait(name, || metrics(pipeline.addresses.moto).contains(name).then_some(()));
    }
    assert_eq!(metrics(pipeline.addresses.moto), BTreeSet::from(right.map(str::to_owned)));
}

#[test]
fn a_sample_that_grows_too_old_in_the_queue_is_left_out() {
    const OLD: &str = "monitor.memory.reclaim.latency";
    const NEW: &str = "monitor.sched.runqueue.latency";
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "2s")]);
    let pipeline = &setup.pipeline;
    let _collector = up(pipeline.start_collector());
    let start_ns = now_ns();
    let send = |name, time_ns| {
        let metric = one(name, start_ns, time_ns);
        otlp::send_metrics(pipeline.addresses.collector.http, &[metric]);
    };
    send(OLD, start_ns - WEEK_NS + QUEUED.as_nanos() as u64);
    thread::sleep(QUEUED + ATTEMPT);
    let _moto = up(pipeline.start_moto());
    send(NEW, now_ns());
    wait(NEW, || metrics(pipeline.addresses.moto).contains(NEW).then_some(()));
    assert_eq!(metrics(pipeline.addresses.moto), BTreeSet::from([NEW.to_owned()]));
}

/// Counters of groups begin when the group is first seen, and again when it comes back.
#[test]
fn counters_with_different_starts_add_up() {
    const NAME: &str = "monitor.process.oom_kills";
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "4s")]);
    let pipeline = &setup.pipeline;
    let _moto = up(pipeline.start_moto());
    let _collector = up(pipeline.start_collector());
    let send = |series: &[(&str, u64, u64)]| {
        let time_ns = now_ns();
        let counter = |(program, start_ns, value): &(&str, u64, u64)| {
            let attributes = [("process.executable.name", *program)];
            otlp::counter(NAME, "{kill}", (*start_ns, time_ns), &[(&attributes, *value)])
        };
        let metrics: Vec<Value> = series.iter().map(counter).collect();
        otlp::send_metrics(pipeline.addresses.collector.http, &metrics);
    };
    let arrives = |total: f64| {
        wait(&format!("a total of {total}"), || {
            let documents = aws::documents(pipeline.addresses.moto, METRICS);
            let found: f64 = documents.iter().filter_map(|it| it[NAME].as_f64()).sum();
            assert!(found <= total, "{found} of {total} in {documents:?}");
            (found == total).then_some(())
        });
    };
    let start = || {
        thread::sleep(Duration::from_millis(10));
        now_ns()
    };
    let [a, b, c, d] = [start(), start(), start(), start()];
    send(&[("a", a, 1), ("b", b, 1), ("c", c, 1), ("d", d, 1)]);
    arrives(4.0);
    // Two go on, one comes back with more than it had, one begins and ends and begins within an interval.
    let (back, first, second) = (start(), start(), start());
    send(&[("a", a, 3), ("b", b, 1), ("c", back, 5), ("e", first, 7)]);
    send(&[("a", a, 4), ("b", b, 1), ("c", back, 5), ("e", second, 1)]);
    arrives(4.0 + 3.0 + 5.0 + 7.0 + 1.0);
}

#[test]
fn a_host_without_an_id_is_known_by_its_name() {
    const NAME: &str = "monitor.sched.runqueue.latency";
    for (attributes, id) in [
        (&[("host.name", "golden")][..], "golden"),
        (&[("host.name", "golden"), ("host.id", "")], "golden"),
        (&[], "unknown"),
    ] {
        let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "2s")]);
        let pipeline = &setup.pipeline;
        let _moto = up(pipeline.start_moto());
        let _collector = up(pipeline.start_collector());
        let metric = one(NAME, now_ns(), now_ns());
        otlp::send_metrics_of(pipeline.addresses.collector.http, attributes, &[metric]);
        let documents = wait(NAME, || {
            let documents = aws::documents(pipeline.addresses.moto, METRICS);
            (!documents.is_empty()).then_some(documents)
        });
        let headlines = aws::headlines(&documents, id);
        assert_eq!(headlines.iter().map(|it| it.0).collect::<Vec<_>>(), [NAME]);
    }
}

/// Its counters are not reset.
#[test]
fn a_host_that_is_renamed_stays_the_same() {
    const NAME: &str = "monitor.process.oom_kills";
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "2s")]);
    let pipeline = &setup.pipeline;
    let _moto = up(pipeline.start_moto());
    let _collector = up(pipeline.start_collector());
    let start_ns = now_ns();
    for (name, value) in [("localhost", 5), ("web-1", 6)] {
        let resource = [("host.id", HOST), ("host.name", name)];
        let counter = otlp::counter(NAME, "{kill}", (start_ns, now_ns()), &[(&[], value)]);
        otlp::send_metrics_of(pipeline.addresses.collector.http, &resource, &[counter]);
        wait(&format!("a total of {value}"), || {
            let documents = aws::documents(pipeline.addresses.moto, METRICS);
            let found: f64 = documents.iter().filter_map(|it| it[NAME].as_f64()).sum();
            assert!(found <= value as f64, "{found} of {value} in {documents:?}");
            (found == value as f64).then_some(())
        });
    }
}

/// A metric with one value.
fn one(name: &str, start_ns: u64, time_ns: u64) -> Value {
    let made = Histogram { scale: 3, zeros: 0, offset: -160, buckets: vec![1], sum: 1.0 };
    otlp::histogram(name, &[], (start_ns, time_ns), &made)
}

/// The metrics that are there.
fn metrics(moto: SocketAddr) -> BTreeSet<String> {
    let documents = aws::documents(moto, METRICS);
    let names = aws::headlines(&documents, HOST).into_iter().map(|(name, _, _)| name.to_owned());
    names.collect()
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
