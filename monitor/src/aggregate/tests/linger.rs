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
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(evicted)"), Some(0.001));
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
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(evicted)"), None);
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
fn counts_of_evicted_services_stay_in_the_sum() {
    const fn metric(name: &'static str) -> MetricDesc {
        MetricDesc { name, unit: "By", ..MetricDesc::BASE }
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
    let gone = place("(evicted)");
    for name in ["a", "b", "c"] {
        add(&place(name), Value::Evicted(&gone));
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
        [(way("c"), "Number(12.0)".to_owned()), (way("(evicted)"), "Number(12.0)".to_owned())]
    );
    assert_eq!(values(&OTHERS), [(way("a"), "Number(3.0)".to_owned())], "of another metric");
}

/// CPU time of all groups together.
fn cpu_of_all(series: &[Series]) -> Vec<(String, String)> {
    let cpu = series.iter().filter(|series| std::ptr::eq(series.metric, &PROCESS_CPU_TIME));
    let name = |series: &Series| series.attributes.iter().map(|(_, value)| value).collect();
    let mut all: Vec<_> = cpu.map(|it| (name(it), format!("{:?}", it.value))).collect();
    all.sort();
    all
}

#[test]
fn evicted_groups_follow_a_change_of_limit_a_reset_clock_and_a_probe_that_is_off() {
    // A group that is exported, and one that lingers.
    let evict = || {
        let mut feed = Feed::new(1);
        feed.cpu("cheap", 1_000_000);
        feed.cpu("costly", 5_000_000);
        feed.finish(10);
        feed.cpu("costly", 1_000_000);
        feed.finish(11);
        feed
    };
    let of = |counts: &[(&str, f64)]| -> Vec<_> {
        let count =
            |(name, value): &(&str, f64)| ((*name).to_owned(), format!("Number({value:?})"));
        counts.iter().map(count).collect()
    };
    let mut feed = evict();
    feed.0.set_top(2);
    feed.cpu("costly", 1_000_000);
    let expected = of(&[("(evicted)", 0.001), ("(other)", 0.005), ("costly", 0.002)]);
    assert_eq!(cpu_of_all(&feed.finish(12)), expected);

    let mut feed = evict();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
    assert!(feed.0.begin(now, Duration::from_secs(1), SystemTime::UNIX_EPOCH), "all restart");
    feed.cpu("costly", 1_000_000);
    let expected = of(&[("(other)", 0.0), ("cheap", 0.0), ("costly", 0.001)]);
    assert_eq!(cpu_of_all(&feed.finish(5)), expected);

    let mut feed = evict();
    feed.0.forget("sched", metric::SCHED_ALL);
    assert_eq!(cpu_of_all(&feed.finish(12)), []);
}
