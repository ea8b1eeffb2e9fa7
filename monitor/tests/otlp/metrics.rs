//! Metrics: what is measured is what arrives.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use monitor::{
    config::{Compression, Protocol, Signal, Target},
    metric::SCHED_RUNQUEUE_LATENCY,
    sample::Attributes,
    view::{Exemplar, Histogram, Point},
};
use monitor_common::hist;
use opentelemetry_proto::tonic::{
    common::v1::{KeyValue, any_value::Value},
    metrics::v1::{
        AggregationTemporality, Exemplar as Sent, ExponentialHistogramDataPoint, Metric,
        NumberDataPoint, exemplar, metric::Data, number_data_point,
    },
};
use prost::Message;
use tonic::Status;

use crate::{
    receiver::{Answer, Payload, Received, Receiver},
    setup::{self, Exporter, PROTOCOLS, START, target},
};

/// The metrics of a request, by name; checks what they belong to.
fn metrics(received: &Received) -> BTreeMap<String, Metric> {
    let Payload::Metrics(request) = &received.payload else { panic!("these are no metrics") };
    let [of_resource] = &request.resource_metrics[..] else { panic!("there is one resource") };
    let resource = texts(&of_resource.resource.as_ref().unwrap().attributes);
    assert_eq!(resource["service.name"], "monitor");
    assert_eq!(resource["service.instance.id"], "the-host");
    let [of_scope] = &of_resource.scope_metrics[..] else { panic!("there is one scope") };
    assert_eq!(of_scope.scope.as_ref().unwrap().name, "monitor");
    let metrics = of_scope.metrics.iter().map(|metric| (metric.name.clone(), metric.clone()));
    let by_name: BTreeMap<_, _> = metrics.collect();
    assert_eq!(by_name.len(), of_scope.metrics.len(), "a metric is there twice");
    by_name
}

fn texts(pairs: &[KeyValue]) -> BTreeMap<&str, &str> {
    let mut texts = BTreeMap::new();
    for pair in pairs {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        let Some(Value::StringValue(text)) = value else { panic!("{pair:?} is no text") };
        assert_eq!(texts.insert(pair.key.as_str(), text.as_str()), None, "{} twice", pair.key);
    }
    texts
}

/// OpenTelemetry's index of each bucket that is not empty, and its count.
fn buckets(point: &ExponentialHistogramDataPoint) -> BTreeMap<i32, u64> {
    assert_eq!(point.negative, None);
    let positive = point.positive.as_ref().unwrap();
    let counts = positive.bucket_counts.iter().zip(positive.offset..);
    counts.filter(|(count, _)| **count > 0).map(|(count, index)| (index, *count)).collect()
}

fn value(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        other => panic!("no number: {other:?}"),
    }
}

#[tokio::test]
async fn every_kind_arrives_as_it_is() {
    let cumulative = i32::from(AggregationTemporality::Cumulative);
    let start = START.as_nanos() as u64;
    for protocol in PROTOCOLS {
        for compression in [Compression::None, Compression::Gzip] {
            let receiver = Receiver::start([]).await;
            let target = Target { compression, ..target(&receiver.endpoint(), protocol) };
            let view = setup::of_each_kind(1);
            let time = view.time.duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
            let exporter = Exporter::start(view, &[Signal::Metrics], &target);
            let received = receiver.inbox.wait(1).await.remove(0);
            let header = match protocol {
                Protocol::Grpc => "grpc-encoding",
                Protocol::HttpProtobuf => "content-encoding",
            };
            let encoding = received.headers.get(header).map(|it| it.to_str().unwrap());
            assert_eq!(encoding, (compression == Compression::Gzip).then_some("gzip"));
            let agent = received.headers["user-agent"].to_str().unwrap();
            assert!(agent.starts_with("monitor/"), "{agent}");
            let metrics = metrics(&received);
            assert_eq!(metrics.len(), 4);

            let cpu = &metrics["monitor.process.cpu.time"];
            assert_eq!(cpu.unit, "s");
            let Some(Data::Sum(sum)) = &cpu.data else { panic!("it is a sum: {cpu:?}") };
            assert!(sum.is_monotonic && sum.aggregation_temporality == cumulative);
            let values: Vec<_> = sum.data_points.iter().map(value).collect();
            assert_eq!(values, [1.0, 0.5]);
            let [web, _] = &sum.data_points[..] else { panic!("there are two series") };
            assert_eq!(texts(&web.attributes)["systemd.unit"], "web.service");
            assert_eq!((web.start_time_unix_nano, web.time_unix_nano), (start, time));

            let tick = &metrics["monitor.agent.tick.duration"];
            let Some(Data::Gauge(gauge)) = &tick.data else { panic!("it is a gauge: {tick:?}") };
            assert_eq!(value(&gauge.data_points[0]), 0.25);
            assert_eq!(gauge.data_points[0].start_time_unix_nano, 0);

            for (name, shift) in [
                ("monitor.sched.runqueue.latency", 0),
                ("monitor.process.runqueue.latency", hist::COARSE_SHIFT),
            ] {
                let Some(Data::ExponentialHistogram(histogram)) = &metrics[name].data else {
                    panic!("it is a histogram: {:?}", metrics[name]);
                };
                assert_eq!(histogram.aggregation_temporality, cumulative);
                let [point] = &histogram.data_points[..] else { panic!("there is one series") };
                assert_eq!((point.count, point.zero_count), (6, 2));
                assert_eq!(point.sum, Some(2.002001001));
                assert_eq!(point.scale, 3 - shift as i32);
                assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (start, time));
                let mut expected = BTreeMap::new();
                for ns in [1_000, 1_000_000, 1_000_001, 2_000_000_000] {
                    *expected.entry(hist::index(ns) >> shift).or_default() += 1;
                }
                assert_eq!(buckets(point), expected);
                assert_eq!((point.min, point.max), (Some(0.0), Some(2.0)));
            }
            drop(exporter);
        }
    }
}

#[tokio::test]
async fn requests_stay_below_the_limit_of_receivers() {
    const SERIES: u32 = 60_000;
    for protocol in PROTOCOLS {
        let receiver = Receiver::start([]).await;
        let target = Target {
            compression: Compression::Gzip,
            interval: Duration::from_secs(3600),
            ..target(&receiver.endpoint(), protocol)
        };
        let mut exporter = Exporter::start(setup::of_many(SERIES), &[Signal::Metrics], &target);
        let mut names = Vec::new();
        let mut count = 0;
        while names.len() < SERIES as usize {
            count += 1;
            let received = receiver.inbox.wait(count).await.remove(count - 1);
            let Payload::Metrics(request) = &received.payload else { panic!("no metrics") };
            let length = request.encoded_len();
            assert!(length <= 3 << 20, "{length} bytes");
            for metric in metrics(&received).values() {
                let Some(Data::ExponentialHistogram(histogram)) = &metric.data else {
                    panic!("no histogram")
                };
                let points = histogram.data_points.iter();
                names.extend(
                    points.map(|it| texts(&it.attributes)["process.executable.name"].to_owned()),
                );
            }
            // All but the last are nearly full.
            let is_last = names.len() == SERIES as usize;
            assert!(is_last || length > 5 << 19, "{length} bytes, {} names", names.len());
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), SERIES as usize, "a series is there twice");
        assert!(count > 1);
        exporter.stop().await;
        let account = exporter.account(Signal::Metrics);
        assert_eq!((account.requests, account.items), (count as u64, u64::from(SERIES)));
        assert!(account.size_bytes > 3 << 20, "{account:?}");
        assert!(exporter.lost(Signal::Metrics).is_empty());
    }
}

#[tokio::test]
async fn a_view_is_sent_once_and_the_last_one_at_the_end() {
    let receiver = Receiver::start([]).await;
    let target = target(&receiver.endpoint(), Protocol::Grpc);
    let mut exporter = Exporter::start(setup::of_each_kind(1), &[Signal::Metrics], &target);
    receiver.inbox.wait(1).await;
    // Several intervals without a new one.
    tokio::time::sleep(target.interval * 5).await;
    assert_eq!(receiver.inbox.all().len(), 1);
    exporter.publish(setup::of_each_kind(2));
    receiver.inbox.wait(2).await;
    exporter.publish(setup::of_each_kind(3));
    exporter.stop().await;
    let received = receiver.inbox.all();
    let counters: Vec<_> = received
        .iter()
        .map(|received| {
            let Some(Data::Sum(sum)) = metrics(received)["monitor.process.cpu.time"].data.clone()
            else {
                panic!("it is a sum")
            };
            value(&sum.data_points[0])
        })
        .collect();
    assert_eq!(counters, [1.0, 2.0, 3.0]);
}

/// Has a receiver that gives these answers sent views, after a first without an example: of each the tick, and
/// of the example that it shows the tick and how many seconds after [`START`] it was. Returns the examples of
/// each request.
async fn examples(
    answers: impl IntoIterator<Item = Answer>,
    views: impl IntoIterator<Item = (u64, u64, u64)>,
) -> Vec<Vec<Sent>> {
    let receiver = Receiver::start(answers).await;
    let target = target(&receiver.endpoint(), Protocol::Grpc);
    let view = |tick, shown: Option<(u64, u64)>| {
        let Point::Histogram(histogram) = setup::histogram(&[1_500_000_000], 0) else {
            panic!("it is one")
        };
        let exemplar = shown.map(|(tick, seconds)| {
            let attributes = Attributes::new([("process.pid", "42")]);
            let time = SystemTime::UNIX_EPOCH + START + Duration::from_secs(seconds);
            let latency = Duration::from_millis(1500);
            Arc::new(Exemplar { tick, time, latency, attributes })
        });
        let value = Point::Histogram(Histogram { exemplar, ..histogram });
        setup::view(tick, vec![setup::series(&SCHED_RUNQUEUE_LATENCY, &[], value)])
    };
    let mut exporter = Exporter::start(view(1, None), &[Signal::Metrics], &target);
    receiver.inbox.wait(1).await;
    for (tick, shown, seconds) in views {
        exporter.publish(view(tick, Some((shown, seconds))));
        receiver.inbox.wait(tick as usize).await;
    }
    exporter.stop().await;
    let sent = receiver.inbox.all().into_iter().map(|received| {
        let metric = metrics(&received).remove("monitor.sched.runqueue.latency").unwrap();
        let Some(Data::ExponentialHistogram(histogram)) = metric.data else { panic!("{metric:?}") };
        histogram.data_points[0].exemplars.clone()
    });
    sent.collect()
}

#[tokio::test]
async fn an_example_is_sent_once() {
    // The slow one came in the second tick, and is shown until there is another.
    let sent = examples([], [(2, 2, 0), (3, 2, 0), (4, 4, 0)]).await;
    assert_eq!(sent.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 0, 1]);
    let exemplar = &sent[1][0];
    assert_eq!(exemplar.value, Some(exemplar::Value::AsDouble(1.5)));
    assert_eq!(exemplar.time_unix_nano, START.as_nanos() as u64);
    assert_eq!(texts(&exemplar.filtered_attributes), BTreeMap::from([("process.pid", "42")]));
}

#[tokio::test]
async fn an_example_older_than_what_the_receiver_has_is_left_out() {
    // The clock is set back by an hour in the third tick, and has caught up in the fifth.
    let views = [(2, 2, 3600), (3, 3, 1), (4, 4, 2), (5, 5, 3600)];
    let counts = |sent: Vec<Vec<_>>| sent.iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(counts(examples([], views).await), [0, 1, 0, 0, 1]);
    // A receiver that refused what was ahead has nothing that is newer.
    let refused = Answer::Status(Status::invalid_argument("too far in the future"));
    assert_eq!(counts(examples([Answer::Taken, refused], views).await), [0, 1, 1, 1, 1]);
}
