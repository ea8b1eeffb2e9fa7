//! What groups and services counted that lose their place.

use super::{super::lingering::LINGER, *};

#[test]
fn a_costly_group_takes_the_place_of_a_cheap_one_and_nothing_is_lost() {
    let mut feed = Feed::new(1);
    feed.cpu("cheap", 1_000_000);
    feed.cpu("costly", 5_000_000);
    let series = feed.finish(1);
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "cheap"), Some(0.001));
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(other)"), Some(0.005));

    feed.cpu("costly", 7_000_000);
    let series = feed.finish(2);
    // From the time it has a series of its own, and not more; the rest stays where it was.
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "costly"), Some(0.007));
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(other)"), Some(0.005));
    // Receivers have its last value before it is elsewhere.
    for second in 3..122 {
        assert_eq!(value(&feed.finish(second), &PROCESS_CPU_TIME, "cheap"), Some(0.001));
    }
    let series = feed.finish(122);
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(retired)"), Some(0.001));
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "cheap"), None);
}

#[test]
fn group_that_comes_back_soon_counts_on() {
    let mut feed = Feed::new(1);
    feed.cpu("a", 1_000_000);
    feed.cpu("b", 5_000_000);
    feed.finish(1);
    // It has the place now.
    feed.cpu("b", 1_000_000);
    feed.cpu("a", 100_000_000);
    let series = feed.finish(2);
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "a"), Some(0.001));
    feed.cpu("a", 2_000_000);
    let series = feed.finish(3);
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "a"), Some(0.003));
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "b"), Some(0.001), "it lingers");
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(other)"), Some(0.105));
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(retired)"), None);
}

#[test]
fn as_many_groups_linger_as_have_a_place() {
    let mut feed = Feed::new(2);
    let mut cost = 1_000_000;
    for second in 0..20 {
        for name in 0..2 {
            cost *= 2;
            feed.cpu(&format!("{second}-{name}"), cost);
        }
        let series = feed.finish(second);
        let is_cpu = |series: &&Series| std::ptr::eq(series.metric, &PROCESS_CPU_TIME);
        assert!(series.iter().filter(is_cpu).count() <= 2 + 2 + 2, "{series:?}");
        let sum = series.iter().filter(is_cpu).map(|series| match series.value {
            Point::Number(value) => value,
            Point::Histogram(_) => 0.0,
        });
        let counted = (cost * 2 - 2_000_000) as f64 / 1e9;
        assert!((sum.sum::<f64>() - counted).abs() < 1e-9);
    }
}

#[test]
fn what_retired_series_counted_stays_in_the_sum() {
    const fn metric(name: &'static str) -> MetricDesc {
        let (kind, attributes) = (Kind::Counter, &[]);
        MetricDesc { name, unit: "By", kind, attributes, help: "", source: "" }
    }
    static BYTES: MetricDesc = metric("test");
    static OTHERS: MetricDesc = metric("another");
    let place = |place: &str| Attributes::new([("place", place)]);
    let way = |place: &str| Attributes::new([("place", place), ("way", "in")]);
    let mut feed = Feed::new(1);
    let mut add_to = |metric, attributes: &Attributes, value: Value<'_>| {
        let sample = Sample { metric, owner: Owner::Host, attributes, value };
        feed.0.add(&sample, || group("a"));
    };
    add_to(&OTHERS, &way("a"), Value::Increase(3));
    let mut add = |attributes: &Attributes, value: Value<'_>| add_to(&BYTES, attributes, value);
    for (name, bytes) in [("a", 5), ("b", 7), ("c", 11)] {
        add(&way(name), Value::Increase(bytes));
    }
    let gone = place("(retired)");
    for name in ["a", "b", "c"] {
        add(&place(name), Value::Retired(&gone));
    }
    // One of them comes back.
    add(&way("c"), Value::Increase(1));
    let lasts = feed.0.finish(SystemTime::UNIX_EPOCH, LINGER - Duration::from_secs(1)).0;
    assert_eq!(lasts.iter().filter(|series| std::ptr::eq(series.metric, &BYTES)).count(), 3);
    feed.finish(1);
    let series = feed.finish(2);
    let values = |metric| -> Vec<_> {
        let of_metric = series.iter().filter(|series| std::ptr::eq(series.metric, metric));
        of_metric.map(|series| (series.attributes.clone(), format!("{:?}", series.value))).collect()
    };
    assert_eq!(
        values(&BYTES),
        [(way("c"), "Number(12.0)".to_owned()), (way("(retired)"), "Number(12.0)".to_owned())]
    );
    assert_eq!(values(&OTHERS), [(way("a"), "Number(3.0)".to_owned())], "of another metric");
}
