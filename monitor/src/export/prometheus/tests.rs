use std::collections::{BTreeMap, BTreeSet};

use monitor_common::hist;
use opentelemetry::KeyValue;
use prost::Message;

use super::{super::testing, *};
use crate::{
    export::name::metric_name,
    metric::{
        self, AGENT_LOST, AGENT_MAP_ENTRIES, AGENT_TICK_DURATION, Kind, PROCESS_CPU_TIME,
        PROCESS_OFFCPU_LATENCY, SCHED_OFFCPU_LATENCY, SCHED_RUNQUEUE_LATENCY,
    },
    resource::resource,
    view::Series,
};

const PROTOBUF: &str = "application/vnd.google.protobuf;\
                        proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// The start of the series of these tests.
const CREATED: wire::Timestamp = wire::Timestamp { seconds: 1_700_000_000, nanos: 5 };

fn text(prometheus: &Prometheus) -> String {
    let (content_type, body) = prometheus.render("").unwrap();
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    String::from_utf8(body).unwrap()
}

fn protobuf(prometheus: &Prometheus) -> BTreeMap<String, wire::MetricFamily> {
    let (content_type, body) = prometheus.render(PROTOBUF).unwrap();
    assert!(content_type.starts_with("application/vnd.google.protobuf"));
    let mut rest = body.as_slice();
    let mut families = BTreeMap::new();
    while !rest.is_empty() {
        let family = wire::MetricFamily::decode_length_delimited(&mut rest).unwrap();
        assert!(families.insert(family.name.clone(), family).is_none(), "a family came twice");
    }
    families
}

/// What is exported of one view.
fn exported(series: Vec<Series>) -> (String, BTreeMap<String, wire::MetricFamily>) {
    let (_sender, views) = testing::publish(testing::view(series));
    let prometheus = Prometheus::new(views, watch::channel(resource(Vec::new())).1).unwrap();
    (text(&prometheus), protobuf(&prometheus))
}

/// Durations from nothing to over four years, some of them at the bounds of buckets.
fn durations() -> Vec<u64> {
    let mut random = 7u64;
    let mut durations = vec![0, 0, 0, 1, 2, hist::MAX_NS];
    for _ in 0..5_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        durations.push((random >> 8) >> (random % 56));
    }
    for exponent in -29..=7 {
        let bound = (1_000_000_000u128 << 32 >> (32 - exponent)) as u64;
        durations.extend([bound - 1, bound, bound + 1]);
    }
    durations.retain(|ns| *ns <= hist::MAX_NS);
    durations
}

/// Whether a duration is at most `2^exponent` seconds, in integers.
fn at_most(ns: u64, exponent: i32) -> bool {
    (u128::from(ns) << 32) <= 1_000_000_000u128 << (32 + exponent)
}

/// The cumulative counts of the classic buckets in the text form.
fn classic_counts(text: &str, name: &str) -> Vec<(f64, u64)> {
    let prefix = format!("{name}_bucket{{le=\"");
    text.lines()
        .filter_map(|line| line.strip_prefix(&prefix)?.split_once("\"} "))
        .map(|(bound, count)| (bound.parse().unwrap(), count.parse().unwrap()))
        .collect()
}

/// Prometheus' index of each bucket of a native histogram, and its count.
fn native_buckets(histogram: &wire::Histogram) -> BTreeMap<i32, u64> {
    let mut deltas = histogram.positive_delta.iter();
    let (mut buckets, mut index, mut count) = (BTreeMap::new(), 0, 0);
    for span in &histogram.positive_span {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("as many deltas as buckets");
            buckets.insert(index, u64::try_from(count).unwrap());
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

fn only_histogram(family: &wire::MetricFamily) -> &wire::Histogram {
    assert_eq!(family.metric.len(), 1);
    family.metric[0].histogram.as_ref().unwrap()
}

#[test]
fn both_forms_of_a_histogram_say_what_the_durations_say() {
    let durations = durations();
    let name = "monitor_sched_runqueue_latency_seconds";
    for shift in 0..=hist::COARSE_SHIFT {
        let series = testing::histogram(&SCHED_RUNQUEUE_LATENCY, &[], shift, &durations);
        let (text, families) = exported(vec![series]);
        let histogram = only_histogram(&families[name]);
        let count = durations.len() as u64;

        let mut classic: Vec<_> = (-20..=5)
            .map(|exponent| {
                let fit = durations.iter().filter(|ns| at_most(**ns, exponent)).count();
                (f64::from(exponent).exp2(), fit as u64)
            })
            .collect();
        let beside: Vec<_> =
            histogram.bucket.iter().map(|it| (it.upper_bound, it.cumulative_count)).collect();
        assert_eq!(beside, classic);
        classic.push((f64::INFINITY, count));
        assert_eq!(classic_counts(&text, name), classic);

        let mut native = BTreeMap::new();
        for ns in durations.iter().filter(|ns| **ns > 0) {
            *native.entry((hist::index(*ns) >> shift) + 1).or_default() += 1;
        }
        assert_eq!(native_buckets(histogram), native);
        assert_eq!(histogram.schema, 3 - shift as i32);
        assert_eq!(histogram.zero_count + native.values().sum::<u64>(), count);
        assert_eq!(histogram.sample_count, count);

        let sum = durations.iter().map(|ns| u128::from(*ns)).sum::<u128>() as f64 / 1e9;
        assert_eq!(histogram.sample_sum, sum);
        assert!(text.contains(&format!("\n{name}_sum {sum}\n{name}_count {count}\n")));
        assert_eq!(histogram.created_timestamp, Some(CREATED));
    }
}

#[test]
fn an_empty_histogram_is_still_native() {
    let series = testing::histogram(&SCHED_RUNQUEUE_LATENCY, &[], 0, &[]);
    let (text, families) = exported(vec![series]);
    let name = "monitor_sched_runqueue_latency_seconds";
    let histogram = only_histogram(&families[name]);
    assert!(native_buckets(histogram).is_empty());
    // What Prometheus' own libraries use; it is what shows that the histogram is native.
    assert_eq!(histogram.zero_threshold, 2f64.powi(-128));
    assert!(text.contains(&format!("\n{name}_count 0\n")));
}

#[test]
fn names_are_those_of_the_exporter() {
    let series = metric::catalogue().map(|metric| match metric.kind {
        Kind::Histogram => testing::histogram(metric, &[], 0, &[1]),
        _ => testing::number(metric, &[], 1.0),
    });
    let (text, families) = exported(series.collect());
    let expected: BTreeSet<_> =
        metric::catalogue().map(metric_name).chain(["target_info".to_owned()]).collect();
    assert_eq!(families.keys().cloned().collect::<BTreeSet<_>>(), expected);
    for metric in metric::catalogue() {
        let name = metric_name(metric);
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::UpDownCounter | Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let head = format!("# HELP {name} {}\n# TYPE {name} {kind}\n{name}", metric.help);
        assert!(text.contains(&head), "{head}");
    }
    assert!(!text.contains("otel_scope"));
    assert_eq!(text.matches("\ntarget_info{").count(), 1);
    assert!(text.contains("service_name=\"monitor\""));
}

#[test]
fn labels_are_the_same_for_all_kinds_and_forms() {
    let attributes = [
        ("process.executable.name", "we\"ird\\\nna=me,"),
        ("container.id", "abc"),
        ("systemd.unit", "ünit.service"),
    ];
    let (text, families) = exported(vec![
        testing::number(&PROCESS_CPU_TIME, &attributes, 1.5),
        testing::histogram(&PROCESS_OFFCPU_LATENCY, &attributes, 2, &[1]),
    ]);
    let labels = "{container_id=\"abc\",process_executable_name=\"we\\\"ird\\\\\\nna=me,\",\
                  systemd_unit=\"ünit.service\"}";
    assert!(text.contains(&format!("\nmonitor_process_cpu_time_seconds_total{labels} 1.5\n")));
    assert!(text.contains(&format!("\nmonitor_process_offcpu_latency_seconds_count{labels} 1\n")));
    let counter = &families["monitor_process_cpu_time_seconds_total"].metric[0];
    let histogram = &families["monitor_process_offcpu_latency_seconds"].metric[0];
    assert_eq!(counter.label, histogram.label);
    assert_eq!(counter.label[1].value, attributes[0].1);
    let created_timestamp = Some(CREATED);
    assert_eq!(counter.counter, Some(wire::Counter { value: 1.5, created_timestamp }));
}

#[test]
fn series_that_are_gone_vanish() {
    let both = |attributes: &[(&'static str, &str)]| {
        vec![
            testing::number(&PROCESS_CPU_TIME, attributes, 1.0),
            testing::histogram(&SCHED_OFFCPU_LATENCY, attributes, 0, &[1]),
            testing::number(&AGENT_MAP_ENTRIES, attributes, 2.0),
            testing::number(&AGENT_TICK_DURATION, attributes, 3.0),
        ]
    };
    let (stays, goes) = (both(&[("monitor.map", "stays")]), both(&[("monitor.map", "goes")]));
    let mut first: Vec<_> = stays.iter().cloned().chain(goes).collect();
    first.sort_by_key(|series| series.metric.name);
    let (sender, views) = testing::publish(testing::view(first));
    let prometheus = Prometheus::new(views, watch::channel(resource(Vec::new())).1).unwrap();
    let before = text(&prometheus);
    assert_eq!(text(&prometheus), before);
    assert!(before.contains("goes"));

    sender.send(Arc::new(testing::view(stays))).unwrap();
    let after = text(&prometheus);
    assert!(!after.contains("goes"));
    assert_eq!(after.lines().filter(|line| line.contains("stays")).count(), 3 + 29);

    sender.send(Arc::new(testing::view(Vec::new()))).unwrap();
    assert_eq!(protobuf(&prometheus).into_keys().collect::<Vec<_>>(), ["target_info"]);
}

#[test]
fn no_series_is_folded_into_another() {
    let reasons: Vec<_> = (0..5_000).map(|i| format!("reason-{i}")).collect();
    let series = reasons
        .iter()
        .map(|reason| testing::number(&AGENT_LOST, &[("monitor.loss.reason", reason)], 1.0));
    let (text, _) = exported(series.collect());
    let count = text.lines().filter(|line| line.starts_with("monitor_agent_lost_total{")).count();
    assert_eq!(count, reasons.len());
    assert!(!text.contains("overflow"));
}

#[test]
fn a_scrape_sees_one_view() {
    let at = |value| testing::view(vec![testing::number(&AGENT_TICK_DURATION, &[], value)]);
    let (sender, views) = testing::publish(at(1.0));
    let source = Source::new(views);
    let value = |pinned: Arc<instruments::Pinned>| match pinned.series(&AGENT_TICK_DURATION) {
        [series] => format!("{:?}", series.value),
        others => panic!("{others:?}"),
    };
    sender.send(Arc::new(at(2.0))).unwrap();
    assert_eq!(value(source.pinned()), "Number(1.0)");
    assert_eq!(value(source.pin()), "Number(2.0)");
    assert_eq!(value(source.pinned()), "Number(2.0)");
}

#[test]
fn the_resource_is_followed() {
    let named = |name: &'static str| resource(vec![KeyValue::new("host.name", name)]);
    let (_sender, views) = testing::publish(testing::view(Vec::new()));
    let (resources, known) = watch::channel(named("ip-10-0-0-1"));
    let prometheus = Prometheus::new(views, known).unwrap();
    assert!(text(&prometheus).contains("host_name=\"ip-10-0-0-1\""));
    resources.send_replace(named("web-1"));
    let text = text(&prometheus);
    assert!(text.contains("host_name=\"web-1\"") && !text.contains("ip-10"), "{text}");
    let label = &protobuf(&prometheus)["target_info"].metric[0].label;
    assert!(label.iter().any(|label| label.name == "host_name" && label.value == "web-1"));
}
