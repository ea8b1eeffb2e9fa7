//! Delta temporality: the growth that a receiver gets, and what is lost of it.

use std::{collections::BTreeMap, time::Duration};

use monitor::{
    config::{Protocol, Signal, Target, Temporality},
    metric::PROCESS_CPU_TIME,
    view::{Point, View},
};
use opentelemetry_proto::tonic::metrics::v1::{metric::Data, number_data_point};
use tokio::time::sleep;

use crate::{
    receiver::{Payload, Received, Receiver},
    setup::{self, Exporter, series, target, view},
};

const SIGNALS: [Signal; 1] = [Signal::Metrics];

/// A view with one counter.
fn counter(tick: u64, value: f64) -> View {
    let web = [("process.executable.name", "web")];
    view(tick, vec![series(&PROCESS_CPU_TIME, &web, Point::Number(value))])
}

/// The values of a request.
fn values(received: &Received) -> Vec<f64> {
    let Payload::Metrics(request) = &received.payload else { panic!("these are no metrics") };
    let scopes = request.resource_metrics.iter().flat_map(|it| &it.scope_metrics);
    let sums = scopes.flat_map(|it| &it.metrics).map(|metric| match &metric.data {
        Some(Data::Sum(sum)) => &sum.data_points,
        data => panic!("no sum: {data:?}"),
    });
    let value = |point: &number_data_point::Value| match point {
        number_data_point::Value::AsDouble(value) => *value,
        number_data_point::Value::AsInt(value) => *value as f64,
    };
    sums.flatten().map(|point| value(point.value.as_ref().unwrap())).collect()
}

#[tokio::test]
async fn growth_that_a_dead_receiver_did_not_get_is_counted_as_dropped() {
    let delta = Target {
        temporality: Temporality::Delta,
        ..target("http://127.0.0.1:1", Protocol::HttpProtobuf)
    };
    let mut exporter = Exporter::start(setup::of_each_kind(1), &SIGNALS, &delta);
    while exporter.account(Signal::Metrics).failures.is_empty() {
        sleep(Duration::from_millis(10)).await;
    }
    // One of the five series of the first view grows until the end.
    exporter.publish(setup::of_each_kind(2));
    exporter.stop().await;
    let lost = BTreeMap::from([("cut_off".to_owned(), 5 + 1)]);
    assert_eq!(exporter.lost(Signal::Metrics), lost);
}

#[tokio::test]
async fn all_growth_that_was_sent_is_not_dropped() {
    let receiver = Receiver::start([]).await;
    let delta = Target {
        temporality: Temporality::Delta,
        ..target(&receiver.endpoint(), Protocol::HttpProtobuf)
    };
    let mut exporter = Exporter::start(counter(1, 1.0), &SIGNALS, &delta);
    receiver.inbox.wait(1).await;
    exporter.publish(counter(2, 4.0));
    exporter.stop().await;
    assert_eq!(receiver.inbox.all().iter().map(values).collect::<Vec<_>>(), [[1.0], [3.0]]);
    assert!(exporter.lost(Signal::Metrics).is_empty());
}

#[tokio::test]
async fn a_change_of_temporality_repeats_nothing() {
    let receiver = Receiver::start([]).await;
    let cumulative = target(&receiver.endpoint(), Protocol::HttpProtobuf);
    let delta = Target { temporality: Temporality::Delta, ..cumulative.clone() };
    let mut exporter = Exporter::start(counter(1, 10.0), &SIGNALS, &cumulative);
    receiver.inbox.wait(1).await;
    exporter.change(&SIGNALS, &delta).await;
    // The first view is where growth begins.
    sleep(2 * delta.interval).await;
    exporter.publish(counter(2, 12.0));
    receiver.inbox.wait(2).await;
    exporter.change(&SIGNALS, &cumulative).await;
    exporter.publish(counter(3, 15.0));
    receiver.inbox.wait(3).await;
    exporter.change(&SIGNALS, &delta).await;
    sleep(2 * delta.interval).await;
    exporter.publish(counter(4, 19.0));
    receiver.inbox.wait(4).await;
    exporter.stop().await;
    let sent: Vec<_> = receiver.inbox.all().iter().map(values).collect();
    assert_eq!(sent, [[10.0], [2.0], [15.0], [4.0]]);
    assert!(exporter.lost(Signal::Metrics).is_empty());
}
