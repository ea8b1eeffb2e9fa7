//! Series of what somebody else keeps: the kernel's counters since boot, the daemon's own, and gauges.

use std::{collections::VecDeque, time::SystemTime};

use crate::{
    metric::{Kind, MetricDesc},
    sample::Attributes,
    view::{Point, Series},
};

/// How many counters are remembered that are gone: those of some hundred CPUs or devices.
const REMEMBERED: usize = 4096;

/// The series of this tick, and those before to tell since when each counts.
#[derive(Debug, Default)]
pub(super) struct External {
    series: Vec<Entry>,
    /// Those of the tick before that were not added yet in this one.
    before: Vec<Option<Entry>>,
    /// Where in `before` the next series probably is: they come in the same order in each tick.
    next: usize,
    /// Counters that are gone, and may come back and go on: a CPU that is offline, a file that could
    /// not be read. The last one went last.
    gone: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    metric: &'static MetricDesc,
    attributes: Attributes,
    /// Since when it counts.
    start: SystemTime,
    /// As it was read.
    value: f64,
    /// What it had counted at `start`.
    base: f64,
}

impl External {
    /// Begins a tick; series that are not added again are gone.
    pub(super) fn begin(&mut self) {
        self.before.extend(self.series.drain(..).map(Some));
        self.next = 0;
    }

    /// Ends it.
    pub(super) fn end(&mut self) {
        let gone = self.before.drain(..).flatten();
        self.gone.extend(gone.filter(Entry::is_counter));
        let excess = self.gone.len().saturating_sub(REMEMBERED);
        self.gone.drain(..excess);
    }

    /// The series of the last tick.
    pub(super) fn series(&self) -> impl Iterator<Item = Series> {
        self.series.iter().map(|entry| Series {
            metric: entry.metric,
            attributes: entry.attributes.clone(),
            start: entry.start,
            value: Point::Number(entry.value - entry.base),
            is_evicted: false,
        })
    }

    /// Has all counters count from zero again, since `since`.
    pub(super) fn restart(&mut self, since: SystemTime) {
        for entry in self.series.iter_mut().chain(&mut self.gone) {
            entry.start = since;
            if entry.is_counter() {
                entry.base = entry.value;
            }
        }
    }

    /// Forgets the series that `is_gone` says so of: should they come back, they are others.
    pub(super) fn remove(&mut self, is_gone: &dyn Fn(&MetricDesc, &Attributes) -> bool) {
        let stays = |entry: &Entry| !is_gone(entry.metric, &entry.attributes);
        self.series.retain(stays);
        self.gone.retain(stays);
    }

    /// Adds a series. One that is not known has counted since `first`, and does so until it is set back;
    /// then it counts since `since`, when the tick began.
    pub(super) fn add(
        &mut self,
        metric: &'static MetricDesc,
        attributes: &Attributes,
        value: f64,
        first: SystemTime,
        since: SystemTime,
    ) {
        let (start, base) = match self.take(metric, attributes) {
            Some(last) if last.is_counter() && value < last.value => (since, 0.0),
            // The wall clock was set back while it was gone.
            Some(last) if last.is_counter() && last.start > since => (since, last.value),
            Some(last) => (last.start, last.base),
            None => (first, 0.0),
        };
        self.series.push(Entry { metric, attributes: attributes.clone(), start, value, base });
    }

    /// The same series when it was there last.
    fn take(&mut self, metric: &MetricDesc, attributes: &Attributes) -> Option<Entry> {
        let is_it =
            |entry: &Entry| std::ptr::eq(entry.metric, metric) && entry.attributes == *attributes;
        let (earlier, later) = self.before.split_at(self.next);
        let mut probable = later.iter().chain(earlier);
        let Some(place) = probable.position(|entry| entry.as_ref().is_some_and(is_it)) else {
            let place = self.gone.iter().position(is_it)?;
            return self.gone.remove(place);
        };
        let place = (self.next + place) % self.before.len();
        self.next = place + 1;
        self.before[place].take()
    }
}

impl Entry {
    fn is_counter(&self) -> bool {
        self.metric.kind == Kind::Counter
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metric::{AGENT_LOST, HOST_LOAD_1M};

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    /// The starts of the series of a tick that began at a second.
    fn starts(external: &mut External, begun: u64, series: &[(&str, f64)]) -> Vec<u64> {
        external.begin();
        for (name, value) in series {
            let attributes = Attributes::new([("monitor.loss.reason", *name)]);
            external.add(&AGENT_LOST, &attributes, *value, at(1), at(begun));
        }
        external.end();
        let seconds =
            |series: Series| series.start.duration_since(at(0)).unwrap_or_default().as_secs();
        external.series().map(seconds).collect()
    }

    #[test]
    fn counters_go_on_after_a_gap_and_begin_anew_when_they_are_set_back() {
        let external = &mut External::default();
        assert_eq!(starts(external, 10, &[("a", 5.0), ("b", 7.0)]), [1, 1]);
        // One more, and in another order.
        assert_eq!(starts(external, 11, &[("b", 7.0), ("c", 1.0), ("a", 6.0)]), [1, 1, 1]);
        // One set back, one gone.
        assert_eq!(starts(external, 12, &[("b", 6.0), ("c", 1.0)]), [12, 1]);
        // It comes back and has only gone on, like a CPU that was offline: what it counted before the
        // gap was not counted in a tick.
        assert_eq!(starts(external, 13, &[("a", 9.0), ("b", 6.0), ("c", 2.0)]), [1, 12, 1]);
        assert_eq!(starts(external, 14, &[]), [0; 0]);
        assert_eq!(starts(external, 15, &[("c", 2.0)]), [1]);
        // Set back in the gap.
        assert_eq!(starts(external, 16, &[("a", 8.0), ("b", 6.0)]), [16, 12]);
    }

    #[test]
    fn counters_that_come_back_do_not_begin_later_than_now() {
        let external = &mut External::default();
        let values = |external: &External| external.series().map(|it| it.value).collect::<Vec<_>>();
        starts(external, 9, &[("a", 5.0)]);
        // As it is set back in tick 20, and the clock before tick 11.
        assert_eq!(starts(external, 20, &[("a", 3.0)]), [20]);
        starts(external, 21, &[]);
        assert_eq!(starts(external, 11, &[("a", 7.0)]), [11]);
        assert!(matches!(values(external)[..], [Point::Number(4.0)]));
        assert_eq!(starts(external, 12, &[("a", 8.0)]), [11]);
        assert!(matches!(values(external)[..], [Point::Number(5.0)]));
    }

    #[test]
    fn of_those_that_are_gone_so_many_are_remembered() {
        let external = &mut External::default();
        let names: Vec<_> = (0..=REMEMBERED).map(|number| number.to_string()).collect();
        let counters: Vec<_> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
        starts(external, 10, &counters[1..]);
        starts(external, 11, &[]);
        assert_eq!(starts(external, 12, &[("one that is new", 1.0)]), [1]);
        starts(external, 13, &counters);
        starts(external, 14, &[]);
        // The first is forgotten, so nobody can say whether it was set back.
        assert_eq!(
            starts(external, 15, &[(names[0].as_str(), 0.5), (names[1].as_str(), 0.5)]),
            [1, 15]
        );
    }

    #[test]
    fn gauges_go_down_without_beginning_anew() {
        let external = &mut External::default();
        for value in [2.0, 1.0] {
            external.begin();
            external.add(&HOST_LOAD_1M, &Attributes::default(), value, at(1), at(2));
            external.end();
            assert!(external.series().all(|series| series.start == at(1)));
        }
        external.begin();
        external.end();
        assert!(external.gone.is_empty(), "they need not go on");
    }
}
