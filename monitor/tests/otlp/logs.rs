//! Logs and events as a receiver gets them.

use std::{collections::BTreeMap, time::Duration};

use monitor::{
    config::{Protocol, Signal},
    event::{Among, Argv, Ending, Event, OomKill, SeriesKey, Sizes, Slow, What},
    export::otlp,
    metric::{PROCESS_RUNQUEUE_LATENCY, SCHED_RUNQUEUE_LATENCY},
    sample::Attributes,
};
use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, any_value::Value},
    logs::v1::{LogRecord, SeverityNumber},
};
use tracing_subscriber::layer::SubscriberExt;

use crate::{
    receiver::{Payload, Received, Receiver},
    setup::{self, Exporter, PROTOCOLS, START, target},
};

/// The records of a request, with what made them.
fn records(received: &Received) -> Vec<(String, LogRecord)> {
    let Payload::Logs(request) = &received.payload else { panic!("these are no logs") };
    let [of_resource] = &request.resource_logs[..] else { panic!("there is one resource") };
    assert!(!of_resource.resource.as_ref().unwrap().attributes.is_empty());
    let scopes = of_resource.scope_logs.iter();
    scopes
        .flat_map(|of_scope| {
            let name = &of_scope.scope.as_ref().unwrap().name;
            of_scope.log_records.iter().map(|record| (name.clone(), record.clone()))
        })
        .collect()
}

fn text(value: &Option<AnyValue>) -> String {
    match value.as_ref().and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::BoolValue(is)) => is.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::ArrayValue(list)) => {
            let texts = list.values.iter().map(|value| text(&Some(value.clone())));
            texts.collect::<Vec<_>>().join(" ")
        }
        other => panic!("{other:?}"),
    }
}

fn attributes(record: &LogRecord) -> BTreeMap<&str, String> {
    record.attributes.iter().map(|pair| (pair.key.as_str(), text(&pair.value))).collect()
}

/// An event, its name, its severity, and attributes that it has among others.
type Case = (What, &'static str, SeverityNumber, &'static [(&'static str, &'static str)]);

#[tokio::test]
async fn events_arrive_with_the_attributes_of_the_conventions() {
    let argv = Argv { words: vec!["web".to_owned(), "--token=***".to_owned()], is_cut: false };
    let sizes = Sizes {
        virtual_bytes: 5,
        anonymous_bytes: 4,
        file_bytes: 3,
        shared_bytes: 2,
        swapped_bytes: 1,
    };
    let victim =
        OomKill { memory_cgroup_id: 9, memory_cgroup: "web".to_owned(), sizes: Some(sizes) };
    let killed = Ending::Signal { number: 9, core_dumped: false };
    let exit = |ending| match setup::exit(1).what {
        What::Exit { lifetime, peak_rss_bytes, .. } => {
            What::Exit { ending, lifetime, peak_rss_bytes }
        }
        _ => panic!("it is an exit"),
    };
    let key = |metric| SeriesKey { metric, attributes: Attributes::default() };
    let among = Among {
        subject: Attributes::new([("server.address", "10.0.0.1")]),
        group: key(&PROCESS_RUNQUEUE_LATENCY),
        host: key(&SCHED_RUNQUEUE_LATENCY),
    };
    let slow = Slow { latency: Duration::from_millis(1500), tid: Some(43), among };
    let cases: [Case; 6] = [
        (
            What::Slow(slow),
            "process.slow",
            SeverityNumber::Debug,
            &[
                ("monitor.metric", "monitor.process.runqueue.latency"),
                ("monitor.latency_s", "1.5"),
                ("thread.id", "43"),
                ("server.address", "10.0.0.1"),
            ],
        ),
        (
            What::Fork { child: 4 },
            "process.fork",
            SeverityNumber::Debug,
            &[("monitor.child.pid", "4")],
        ),
        (
            What::Exec { argv: Some(argv) },
            "process.exec",
            SeverityNumber::Debug,
            &[("process.command_args", "web --token=***"), ("monitor.command_args.cut", "false")],
        ),
        (
            exit(Ending::Code(3)),
            "process.exit",
            SeverityNumber::Debug,
            &[
                ("process.exit.code", "3"),
                ("monitor.process.lifetime_s", "1.5"),
                ("monitor.process.peak_rss_bytes", "4096"),
            ],
        ),
        (
            exit(killed),
            "process.exit",
            SeverityNumber::Debug,
            &[("monitor.exit.signal", "SIGKILL"), ("monitor.exit.core_dumped", "false")],
        ),
        (
            What::OomKill(victim),
            "process.oom_kill",
            SeverityNumber::Warn,
            &[
                ("monitor.memory.cgroup.name", "web"),
                ("monitor.memory.cgroup.id", "9"),
                ("monitor.memory.anonymous_bytes", "4"),
            ],
        ),
    ];
    for protocol in PROTOCOLS {
        let receiver = Receiver::start([]).await;
        let target = target(&receiver.endpoint(), protocol);
        let exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
        for (what, ..) in cases.clone() {
            let event = Event { what, ..setup::exit(42) };
            exporter.records.push_event(&event, &setup::group());
        }
        let received = records(&receiver.inbox.wait(1).await[0]);
        assert_eq!(received.len(), cases.len());
        for ((scope, record), (what, name, severity, expected)) in received.iter().zip(&cases) {
            assert_eq!((scope.as_str(), record.event_name.as_str()), ("monitor::event", *name));
            assert_eq!(record.severity_number(), *severity);
            assert_eq!(record.time_unix_nano, START.as_nanos() as u64);
            assert!(record.observed_time_unix_nano > record.time_unix_nano);
            assert_eq!(text(&record.body), what.text(), "{record:?}");
            let attributes = attributes(record);
            let always = [
                ("process.pid", "42"),
                ("process.parent_pid", "1"),
                ("process.executable.name", "web"),
                ("container.id", "c0ffee"),
            ];
            for (name, value) in always.iter().chain(*expected) {
                assert_eq!(attributes.get(name).map(String::as_str), Some(*value), "{name}");
            }
        }
    }
}

#[tokio::test]
async fn the_daemons_own_logs_arrive_and_make_no_more_of_themselves() {
    let receiver = Receiver::start([]).await;
    let target = target(&receiver.endpoint(), Protocol::Grpc);
    let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
    let bridge = otlp::bridge(exporter.records.clone());
    // All levels of all libraries.
    let _guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(bridge));
    tracing::warn!(target: "monitor::daemon", probe = "sched", lost = 7, "no hook");
    tracing::info!(target: "monitor::event", "sent as an event, not as a log");
    let received = records(&receiver.inbox.wait(1).await[0]);
    let [(scope, record)] = &received[..] else { panic!("there is one record: {received:?}") };
    assert_eq!((scope.as_str(), text(&record.body).as_str()), ("monitor::daemon", "no hook"));
    assert_eq!(record.severity_number(), SeverityNumber::Warn);
    assert_eq!((record.severity_text.as_str(), record.event_name.as_str()), ("WARN", ""));
    assert!(record.time_unix_nano > START.as_nanos() as u64);
    let attributes = attributes(record);
    assert_eq!((attributes["probe"].as_str(), attributes["lost"].as_str()), ("sched", "7"));
    // What h2, hyper and tonic have to say of that goes nowhere.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(receiver.inbox.all().len(), 1);
    exporter.stop().await;
}

#[tokio::test]
async fn records_that_wait_are_sent_at_the_end() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start([]).await;
        let target = target(&receiver.endpoint(), protocol);
        let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
        tokio::time::sleep(Duration::from_millis(100)).await;
        exporter.push_events(5);
        exporter.stop().await;
        assert_eq!(exporter.account(Signal::Logs).items, 5);
        assert_eq!(records(&receiver.inbox.all()[0]).len(), 5);
    }
}

#[tokio::test]
async fn nothing_waits_where_nothing_is_sent() {
    let exporter =
        Exporter::start(setup::view(0, Vec::new()), &[], &target("http://x", Protocol::Grpc));
    assert!(!exporter.records.is_open());
    exporter.push_events(5);
    assert!(exporter.records.ledger().accounts().is_empty());
}
