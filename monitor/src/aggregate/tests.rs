//! The groups always add up to the host.

mod clock;
mod linger;
mod reconcile;

use std::collections::BTreeMap;

use monitor_common::{
    hist::{COARSE_SHIFT, coarse, slot},
    key::COMM_LEN,
};

use super::*;
use crate::{
    event::SeriesKey,
    metric::{
        self, HOST_LOAD_1M, PROCESS_CONTEXT_SWITCHES, PROCESS_CPU_TIME, PROCESS_FORKS,
        SCHED_RUNQUEUE_LATENCY, SYSTEM_DISK_IO,
    },
    sample::Process,
    view::{Histogram, Point},
};

fn group(name: &str) -> Arc<Group> {
    Arc::new(Group { executable: name.to_owned(), ..Group::default() })
}

fn sample<'a>(
    metric: &'static MetricDesc,
    pid: Option<u32>,
    attributes: &'a Attributes,
    value: Value<'a>,
) -> Sample<'a> {
    let process = |pid| Process { pid, comm: [0; COMM_LEN], cgroup_id: 1, kernel_thread: false };
    let owner = pid.map_or(Owner::Host, |pid| Owner::Process(process(pid)));
    Sample { metric, owner, attributes, value }
}

/// A host and its groups, fed with run-queue latencies.
struct Feed(Aggregate);

impl Feed {
    fn new(top: usize) -> Self {
        Self(Aggregate::new(top, SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH))
    }

    fn host(&mut self, ns: u64) {
        let slots = [(slot(ns) as u16, 1)];
        let durations =
            Durations { shift: 0, sum_ns: ns.into(), slots: &slots, left_behind: false };
        let value = Value::Histogram(durations);
        let none = Attributes::default();
        self.0.add(&sample(&SCHED_RUNQUEUE_LATENCY, None, &none, value), || unreachable!());
    }

    fn process(&mut self, name: &str, ns: u64) {
        self.thread(name, ns, false);
    }

    fn thread(&mut self, name: &str, ns: u64, left_behind: bool) {
        let slots = [(coarse(slot(ns)) as u16, 1)];
        let durations =
            Durations { shift: COARSE_SHIFT, sum_ns: ns.into(), slots: &slots, left_behind };
        let none = Attributes::default();
        let value = Value::Histogram(durations);
        self.0.add(&sample(&PROCESS_RUNQUEUE_LATENCY, Some(7), &none, value), || group(name));
    }

    fn cpu(&mut self, name: &str, ns: u64) {
        let none = Attributes::default();
        let sample = sample(&PROCESS_CPU_TIME, Some(7), &none, Value::Increase(ns));
        self.0.add(&sample, || group(name));
    }

    fn finish(&mut self, second: u64) -> Vec<Series> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
        self.0.finish(now, Duration::from_secs(1)).0
    }
}

fn histograms<'a>(series: &'a [Series], metric: &'static MetricDesc) -> Vec<&'a Histogram> {
    let of_metric = series.iter().filter(|series| std::ptr::eq(series.metric, metric));
    of_metric
        .map(|series| match &series.value {
            Point::Histogram(histogram) => histogram,
            Point::Number(_) => panic!("{} is a histogram", metric.name),
        })
        .collect()
}

/// Slots at the groups' scale, and the sum.
fn total(histograms: &[&Histogram]) -> (BTreeMap<usize, u64>, u128) {
    let mut slots = BTreeMap::new();
    for histogram in histograms {
        for (slot, count) in histogram.slots.iter().enumerate().filter(|(_, count)| **count > 0) {
            *slots.entry(slot >> (COARSE_SHIFT - histogram.shift)).or_insert(0) += count;
        }
    }
    (slots, histograms.iter().map(|histogram| histogram.sum_ns).sum())
}

fn assert_adds_up(series: &[Series]) {
    let host = total(&histograms(series, &SCHED_RUNQUEUE_LATENCY));
    let groups = total(&histograms(series, &PROCESS_RUNQUEUE_LATENCY));
    assert_eq!(host, groups);
}

fn value(series: &[Series], metric: &'static MetricDesc, name: &str) -> Option<f64> {
    series.iter().find_map(|series| match series.value {
        Point::Number(value)
            if std::ptr::eq(series.metric, metric)
                && series.attributes.iter().any(|(_, value)| value == name) =>
        {
            Some(value)
        }
        _ => None,
    })
}

#[test]
fn names_like_ours_are_the_rest() {
    let mut feed = Feed::new(10);
    feed.cpu("(other)", 1_000_000);
    feed.cpu("(evicted)", 2_000_000);
    let series = feed.finish(1);
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(other)"), Some(0.003));
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(evicted)"), None);
}

#[test]
fn groups_beyond_the_top_are_in_other() {
    let mut feed = Feed::new(2);
    for (name, ns) in [("a", 10), ("b", 20), ("c", 30), ("d", 40)] {
        feed.host(ns);
        feed.process(name, ns);
    }
    let series = feed.finish(1);
    assert_adds_up(&series);
    assert_eq!(histograms(&series, &PROCESS_RUNQUEUE_LATENCY).len(), 3);
}

#[test]
fn groups_of_the_same_cost_do_not_take_turns() {
    let mut feed = Feed::new(1);
    feed.cpu("first", 1_000_000);
    for second in 1..100 {
        feed.cpu("second", 1_500_000);
        feed.cpu("first", 1_000_000);
        let series = feed.finish(second);
        assert!(value(&series, &PROCESS_CPU_TIME, "first").is_some());
    }
}

#[test]
fn values_kept_by_others_vanish_with_their_source() {
    let none = Attributes::default();
    let mut feed = Feed::new(1);
    feed.0.refresh(|sink| sink(sample(&HOST_LOAD_1M, None, &none, Value::Gauge(2.0))));
    let has =
        |series: &[Series]| series.iter().any(|series| std::ptr::eq(series.metric, &HOST_LOAD_1M));
    assert!(has(&feed.finish(1)));
    assert!(has(&feed.finish(2)), "until it is refreshed");
    feed.0.refresh(|_| {});
    assert!(!has(&feed.finish(3)));
}

#[test]
fn counters_kept_by_others_begin_with_the_boot_or_when_they_are_first_seen() {
    let at = |second| SystemTime::UNIX_EPOCH + Duration::from_secs(second);
    let lost = Attributes::new([("monitor.probe", "sched"), ("monitor.loss.reason", "suppressed")]);
    let none = Attributes::default();
    let disk = sample(&SYSTEM_DISK_IO, None, &none, Value::SinceBoot(9.0));
    let suppressed = |value| sample(&AGENT_LOST, None, &lost, Value::Total(value));
    // Since when each counts, in a tick that ends at a second.
    let starts = |aggregate: &mut Aggregate, samples: &[Sample<'_>], second| -> Vec<_> {
        aggregate.refresh(|sink| samples.iter().cloned().for_each(sink));
        let (series, _) = aggregate.finish(at(second), Duration::from_secs(1));
        series.into_iter().map(|series| series.start).collect()
    };
    let aggregate = &mut Aggregate::new(1, at(100), at(0));
    assert!(starts(aggregate, &[], 101).is_empty());
    assert_eq!(starts(aggregate, &[disk.clone(), suppressed(1.0)], 102), [at(0), at(101)]);
    assert_eq!(starts(aggregate, &[suppressed(1.0)], 103), [at(101)]);
    // What a probe lost before it was loaded again is not part of what it loses now.
    aggregate.forget("sched", &[]);
    assert_eq!(starts(aggregate, &[disk, suppressed(2.0)], 104), [at(0), at(103)]);
}

#[test]
fn rows_tell_what_a_process_did_in_one_tick() {
    let mut feed = Feed::new(1);
    feed.cpu("a", 500_000_000);
    feed.process("a", 3_000);
    let attributes = Attributes::new([("process.context_switch.type", "voluntary")]);
    let switches = sample(&PROCESS_CONTEXT_SWITCHES, Some(7), &attributes, Value::Increase(3));
    feed.0.add(&switches, || group("a"));
    let finish = |feed: &mut Feed| feed.0.finish(SystemTime::UNIX_EPOCH, Duration::from_secs(2)).1;
    let rows = finish(&mut feed);
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].pid, rows[0].cpu, rows[0].runs, rows[0].switches), (7, 0.25, 1, 3));
    assert!(rows[0].runqueue_p99 >= 3e-6 && rows[0].runqueue_p99 < 3e-6 * 1.42);
    assert!(finish(&mut feed).is_empty());
}

#[test]
fn the_top_shrinks_and_grows_and_nothing_is_lost() {
    let mut feed = Feed::new(3);
    let all = |feed: &mut Feed| {
        for (name, ns) in [("a", 1_000_000), ("b", 2_000_000), ("c", 3_000_000), ("d", 4_000_000)] {
            feed.host(ns);
            feed.process(name, ns);
            feed.cpu(name, ns);
        }
    };
    all(&mut feed);
    assert_adds_up(&feed.finish(1));
    feed.0.set_top(1);
    all(&mut feed);
    let series = feed.finish(2);
    assert_adds_up(&series);
    let names = |series: &[Series]| {
        let of_cpu = series.iter().filter(|series| std::ptr::eq(series.metric, &PROCESS_CPU_TIME));
        let mut names: Vec<_> =
            of_cpu.map(|series| series.attributes.iter().next().unwrap().1.to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&series).len(), 3, "one, and both reserved: {:?}", names(&series));
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(evicted)"), Some(0.006));
    feed.0.set_top(10);
    all(&mut feed);
    let series = feed.finish(3);
    assert_adds_up(&series);
    assert_eq!(names(&series), ["(evicted)", "(other)", "a", "b", "c", "d"]);
}

#[test]
fn new_groups_start_at_zero_and_the_old_ones_stay_in_the_sums() {
    let mut feed = Feed::new(10);
    feed.host(1_000);
    feed.process("a", 1_000);
    feed.cpu("a", 5_000_000_000);
    feed.finish(1);
    feed.0.regroup();
    feed.host(1_000);
    feed.process("a", 1_000);
    feed.cpu("a", 1_000_000_000);
    let series = feed.finish(2);
    assert_adds_up(&series);
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "a"), Some(1.0));
    assert_eq!(value(&series, &PROCESS_CPU_TIME, "(evicted)"), Some(5.0));
    let a = |series: &&Series| series.attributes.iter().any(|(_, value)| value == "a");
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    assert!(series.iter().filter(a).all(|series| series.start == start), "a new start");
}

#[test]
fn what_a_probe_measured_is_forgotten_and_all_else_stays() {
    static OTHER: MetricDesc =
        MetricDesc { name: "monitor.process.other", unit: "{thing}", ..MetricDesc::BASE };
    let mut feed = Feed::new(1);
    let others = |feed: &mut Feed| {
        for name in ["a", "b"] {
            let none = Attributes::default();
            let sample = sample(&OTHER, Some(7), &none, Value::Increase(1));
            feed.0.add(&sample, || group(name));
        }
    };
    let lost = Attributes::new([("monitor.probe", "sched"), ("monitor.loss.reason", "unmatched")]);
    feed.host(1_000);
    feed.process("a", 1_000);
    feed.cpu("a", 1_000);
    feed.process("b", 1_000);
    others(&mut feed);
    feed.0.add(&sample(&AGENT_LOST, None, &lost, Value::Increase(3)), || unreachable!());
    assert!(feed.finish(1).len() > 4);
    feed.0.forget("sched", metric::SCHED_ALL);
    others(&mut feed);
    let series = feed.finish(2);
    let left: Vec<_> = series.iter().map(|series| series.metric.name).collect();
    assert_eq!(left, [OTHER.name; 2], "of a and of the rest");
    assert!(series.iter().all(|series| matches!(series.value, Point::Number(2.0))), "{series:?}");
}

#[test]
fn what_goes_down_as_a_probe_is_forgotten_begins_anew() {
    let mut feed = Feed::new(1);
    // As long as it takes until what no group was given is lost.
    let mut measure = |count: u64, forks: u64, from: u64| {
        (0..count).for_each(|_| feed.host(1_000));
        feed.cpu("a", count * 1_000_000_000);
        if forks > 0 {
            let none = Attributes::default();
            let forks = sample(&PROCESS_FORKS, Some(7), &none, Value::Increase(forks));
            feed.0.add(&forks, || group("a"));
        }
        feed.0.regroup();
        let series = (0..60).map(|tick| feed.finish(from + tick)).last().unwrap_or_default();
        feed.0.forget("sched", metric::SCHED_ALL);
        let sums = [
            (&AGENT_LOST, "unattributed"),
            (&PROCESS_CPU_TIME, "(evicted)"),
            (&PROCESS_FORKS, "(evicted)"),
        ];
        sums.map(|(metric, name)| {
            let is_it = |it: &&Series| {
                std::ptr::eq(it.metric, metric) && it.attributes.iter().any(|(_, it)| it == name)
            };
            let start = series.iter().find(is_it)?.start.duration_since(SystemTime::UNIX_EPOCH);
            Some((start.unwrap_or_default().as_secs(), value(&series, metric, name)?))
        })
    };
    assert_eq!(measure(2, 0, 1), [Some((0, 2.0)), Some((0, 2.0)), None]);
    // What another probe counts did not go down.
    assert_eq!(measure(1, 3, 101), [Some((60, 1.0)), Some((60, 1.0)), Some((0, 3.0))]);
}

#[test]
fn the_slowest_of_a_tick_is_shown_by_its_group_and_by_the_host() {
    let mut feed = Feed::new(1);
    let tell = |feed: &mut Feed, name, tick, ms| {
        let key = |metric| SeriesKey { metric, attributes: Attributes::default() };
        let among = Among {
            subject: Attributes::default(),
            group: key(&PROCESS_RUNQUEUE_LATENCY),
            host: key(&SCHED_RUNQUEUE_LATENCY),
        };
        let (latency, attributes) = (Duration::from_millis(ms), Attributes::default());
        let exemplar = Exemplar { tick, time: SystemTime::UNIX_EPOCH, latency, attributes };
        feed.0.exemplify(&group(name), &among, &Arc::new(exemplar));
    };
    // What each series shows, in milliseconds: the host's, and the groups' in no order.
    let shown = |feed: &mut Feed, second| {
        let series = feed.finish(second);
        let of = |metric| {
            let mut shown: Vec<_> = histograms(&series, metric)
                .into_iter()
                .map(|histogram| Some(histogram.exemplar.as_ref()?.latency.as_millis()))
                .collect();
            shown.sort_unstable();
            shown
        };
        (of(&SCHED_RUNQUEUE_LATENCY), of(&PROCESS_RUNQUEUE_LATENCY))
    };
    for (name, ns) in [("top", 100), ("cheap", 1)] {
        feed.host(ns);
        feed.process(name, ns);
    }
    for (name, ms) in [("top", 3), ("cheap", 5), ("top", 7), ("cheap", 4)] {
        tell(&mut feed, name, 1, ms);
    }
    assert_eq!(shown(&mut feed, 1), (vec![Some(7)], vec![Some(5), Some(7)]));
    // Of the next tick a shorter one takes its place.
    tell(&mut feed, "top", 2, 6);
    assert_eq!(shown(&mut feed, 2), (vec![Some(6)], vec![Some(5), Some(6)]));
    assert_eq!(shown(&mut feed, 3), (vec![Some(6)], vec![Some(5), Some(6)]));
}

#[test]
fn flood_of_short_processes_does_not_keep_an_expensive_group_out() {
    let mut feed = Feed::new(10);
    for second in 1..=5 {
        for number in 0..20_000 {
            feed.cpu(&format!("short-{second}-{number}"), 1_000_000);
        }
        feed.finish(second);
    }
    for second in 6..=15 {
        feed.cpu("burner", 1_000_000_000);
        feed.finish(second);
    }
    let series = feed.finish(16);
    let burner = value(&series, &PROCESS_CPU_TIME, "burner").unwrap();
    assert!(burner >= 8.0, "{burner} s of 10 s");
    let of_cpu = series.iter().filter(|series| std::ptr::eq(series.metric, &PROCESS_CPU_TIME));
    assert!(of_cpu.count() <= 2 * 10 + 2);
}

#[test]
fn many_series_of_the_host_count_by_their_attributes() {
    let mut feed = Feed::new(1);
    let disk = |number: u32| Attributes::new([("system.device", format!("sd{number}"))]);
    let add = |feed: &mut Feed, number| {
        let attributes = &disk(number);
        let value = Value::Increase(1);
        let sample = Sample { metric: &SYSTEM_DISK_IO, owner: Owner::Host, attributes, value };
        feed.0.add(&sample, || unreachable!());
    };
    for _ in 0..3 {
        (0..100).for_each(|number| add(&mut feed, number));
    }
    // One ends, the others keep their counts.
    let gone = Attributes::new([("system.device", "(evicted)")]);
    let attributes = &disk(7);
    let evicted = Value::Evicted(&gone);
    let sample = Sample { metric: &SYSTEM_DISK_IO, owner: Owner::Host, attributes, value: evicted };
    feed.0.add(&sample, || unreachable!());
    feed.0.finish(SystemTime::UNIX_EPOCH, lingering::LINGER);
    (50..100).for_each(|number| add(&mut feed, number));
    let series = feed.finish(1);
    let count = |name: &str| value(&series, &SYSTEM_DISK_IO, name);
    assert_eq!((count("sd6"), count("sd7"), count("(evicted)")), (Some(3.0), None, Some(3.0)));
    assert!((50..100).all(|number| count(&format!("sd{number}")) == Some(4.0)));
    assert_eq!(series.len(), 100);
}
