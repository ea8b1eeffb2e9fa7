//! The wall clock is set while series count.

use super::*;

/// A host whose wall clock can be set, and a receiver of its views.
struct Host {
    feed: Feed,
    /// Seconds since the daemon started, by a clock that cannot be set.
    elapsed: u64,
    wall: SystemTime,
    booted: SystemTime,
    restarts: usize,
    /// What the receiver has, by metric and attributes.
    received: BTreeMap<String, Received>,
}

struct Received {
    start: SystemTime,
    last: f64,
    /// What the series counted since the receiver knows it: a new start is a reset.
    total: f64,
    resets: usize,
}

/// Seconds in a minute.
const MINUTE: i64 = 60;

/// Bytes that the disk of the host has read when the daemon starts.
const BEFORE: f64 = 1e6;

impl Host {
    /// A daemon that starts ten seconds after the boot, when it is `wall`.
    fn new(wall: SystemTime) -> Self {
        let booted = wall - Duration::from_secs(10);
        let feed = Feed(Aggregate::new(1, wall, booted));
        Self { feed, elapsed: 0, wall, booted, restarts: 0, received: BTreeMap::new() }
    }

    /// One tick of a second. Within it the clock is set ahead by so many milliseconds, or back.
    fn tick(&mut self, step_ms: i64) {
        let second = Duration::from_secs(1);
        self.elapsed += 1;
        for time in [&mut self.wall, &mut self.booted] {
            let step = Duration::from_millis(step_ms.unsigned_abs());
            *time = if step_ms < 0 { *time - step } else { *time + step };
        }
        self.wall += second;
        self.restarts += usize::from(self.feed.0.begin(self.wall, second, self.booted));
        self.feed.host(1_000);
        self.feed.process("a", 1_000);
        self.feed.cpu("a", 1_000_000_000);
        // It lasts for a tick, and has no series of its own.
        self.feed.cpu(&format!("short {}", self.elapsed), 1_000_000_000);
        let none = Attributes::default();
        let lost = Attributes::new([("monitor.loss.reason", "full")]);
        let read = BEFORE + 1000.0 * self.elapsed as f64;
        self.feed.0.refresh(|sink| {
            sink(sample(&SYSTEM_DISK_IO, None, &none, Value::SinceBoot(read)));
            sink(sample(&AGENT_LOST, None, &lost, Value::Total(self.elapsed as f64)));
        });
        let (series, _) = self.feed.0.finish(self.wall, second);
        assert_adds_up(&series);
        series.iter().for_each(|series| self.receive(series));
    }

    fn receive(&mut self, series: &Series) {
        let (name, start) = (series.metric.name, series.start);
        assert!(start <= self.wall, "{name} begins {:?} late", start.duration_since(self.wall));
        let value = match &series.value {
            Point::Number(value) => *value,
            Point::Histogram(histogram) => histogram.count() as f64,
        };
        let key = format!("{name} {:?}", series.attributes);
        let zero = Received { start, last: 0.0, total: 0.0, resets: 0 };
        let known = self.received.entry(key).or_insert(zero);
        if known.start != start {
            (known.start, known.last) = (start, 0.0);
            known.resets += 1;
        }
        assert!(value >= known.last, "{name} went down from {} to {value}", known.last);
        known.total += value - known.last;
        known.last = value;
    }

    /// What the receiver has of each series is what happened, and each was reset as often as all.
    fn check(&self, restarts: usize) {
        assert_eq!(self.restarts, restarts);
        let elapsed = self.elapsed as f64;
        for (metric, name, expected) in [
            (&SYSTEM_DISK_IO, "", BEFORE + 1000.0 * elapsed),
            (&AGENT_LOST, "full", elapsed),
            (&AGENT_LOST, "unattributed", 0.0),
            (&SCHED_RUNQUEUE_LATENCY, "", elapsed),
            (&PROCESS_RUNQUEUE_LATENCY, "\"a\"", elapsed),
            (&PROCESS_CPU_TIME, "\"a\"", elapsed),
            (&PROCESS_CPU_TIME, "(other)", elapsed),
        ] {
            let mut found = self.received.iter().filter(|(key, _)| {
                key.starts_with(&format!("{} ", metric.name)) && key.contains(name)
            });
            let (key, received) = found.next().unwrap();
            assert_eq!((received.total, received.resets), (expected, restarts), "{key}");
            assert!(found.next().is_none(), "{key} and others");
        }
    }

    fn ticks(&mut self, count: usize) {
        (0..count).for_each(|_| self.tick(0));
    }
}

fn at(minute: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(minute * MINUTE.unsigned_abs())
}

#[test]
fn all_series_restart_once_when_the_clock_was_ahead_at_the_start() {
    let mut host = Host::new(at(500_001));
    host.ticks(3);
    host.tick(-MINUTE * 1000);
    host.ticks(3);
    host.check(1);
    assert!(host.received.values().all(|it| it.start == at(500_000) + Duration::from_secs(3)));
    // To the end of the minute that was there before, and beyond.
    host.ticks(2 * MINUTE as usize);
    host.check(1);
}

#[test]
fn starts_stay_where_they_are_when_the_clock_was_right_at_the_start() {
    let mut host = Host::new(at(500_000));
    host.ticks(2 * MINUTE as usize);
    for minutes in [1, -1, -1, 1] {
        host.tick(minutes * MINUTE * 1000);
        host.ticks(10);
    }
    host.check(0);
    // To before the start, more than the seconds that have passed since.
    host.tick(-3 * MINUTE * 1000);
    host.ticks(10);
    host.check(1);
}

#[test]
fn a_clock_that_is_set_by_less_than_a_tick_restarts_nothing() {
    let mut host = Host::new(at(500_000));
    for step_ms in [-900, 300, -999, 900, -500, -1000] {
        host.tick(step_ms);
    }
    host.check(0);
}

#[test]
fn counters_that_were_away_restart_when_they_come_back() {
    let mut host = Host::new(at(500_001));
    host.ticks(3);
    let aggregate = &mut host.feed.0;
    let cpu = Attributes::new([("system.device", "sda")]);
    let mut tick = |wall: SystemTime, value: Option<f64>| {
        aggregate.begin(wall, Duration::from_secs(1), wall - Duration::from_secs(100));
        aggregate.refresh(|sink| {
            let sample = value.map(|it| sample(&SYSTEM_DISK_IO, None, &cpu, Value::SinceBoot(it)));
            sample.into_iter().for_each(sink);
        });
        let (series, _) = aggregate.finish(wall, Duration::from_secs(1));
        let value = |series: &Series| match series.value {
            Point::Number(value) => value,
            Point::Histogram(_) => panic!("of a disk"),
        };
        let disk = series.iter().find(|it| std::ptr::eq(it.metric, &SYSTEM_DISK_IO))?;
        Some((disk.start, value(disk)))
    };
    let second = |count| Duration::from_secs(count);
    let booted = at(500_001) + second(4) - second(100);
    assert_eq!(tick(at(500_001) + second(4), Some(7.0)), Some((booted, 7.0)));
    assert_eq!(tick(at(500_001) + second(5), None), None);
    assert_eq!(tick(at(500_000) + second(6), None), None);
    let restart = at(500_000) + second(5);
    assert_eq!(tick(at(500_000) + second(7), Some(9.0)), Some((restart, 2.0)));
    assert_eq!(tick(at(500_000) + second(8), Some(1.0)), Some((at(500_000) + second(7), 1.0)));
}
