//! Series of what somebody else keeps: the kernel's counters since boot, the daemon's own, and gauges.

use std::time::SystemTime;

use crate::{
    metric::{Kind, MetricDesc},
    sample::Attributes,
    view::{Point, Series},
};

/// The series of this tick, and of the one before to tell since when each counts.
#[derive(Debug, Default)]
pub(super) struct Kept {
    series: Vec<Series>,
    before: Vec<Series>,
    /// Where in `before` the next series probably is: they come in the same order in each tick.
    next: usize,
    /// Whether there was a tick before.
    is_known: bool,
}

impl Kept {
    /// Begins a tick; series that are not added again are gone.
    pub(super) fn begin(&mut self) {
        std::mem::swap(&mut self.series, &mut self.before);
        self.series.clear();
        self.next = 0;
    }

    /// Ends it.
    pub(super) fn end(&mut self) -> &[Series] {
        self.is_known = true;
        &self.series
    }

    /// Adds a series. One that was there when the daemon started has counted since `first`. One that
    /// comes later, or comes back, or was set back, counts since `since`, when the tick began.
    pub(super) fn add(
        &mut self,
        metric: &'static MetricDesc,
        attributes: &Attributes,
        value: f64,
        first: SystemTime,
        since: SystemTime,
    ) {
        let start = match self.find(metric, attributes) {
            Some((_, last)) if metric.kind == Kind::Counter && value < last => since,
            Some((start, _)) => start,
            None if self.is_known => since,
            None => first,
        };
        let (attributes, value) = (attributes.clone(), Point::Number(value));
        self.series.push(Series { metric, attributes, start, value });
    }

    /// Since when a series counted in the last tick, and its value.
    fn find(&mut self, metric: &MetricDesc, attributes: &Attributes) -> Option<(SystemTime, f64)> {
        let (earlier, later) = self.before.split_at(self.next.min(self.before.len()));
        let place = later.iter().chain(earlier).position(|series| {
            std::ptr::eq(series.metric, metric) && series.attributes == *attributes
        })?;
        let place = (self.next + place) % self.before.len();
        self.next = place + 1;
        let series = self.before.get(place)?;
        match series.value {
            Point::Number(value) => Some((series.start, value)),
            Point::Histogram(_) => None,
        }
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
    fn starts(kept: &mut Kept, begun: u64, series: &[(&str, f64)]) -> Vec<u64> {
        kept.begin();
        for (name, value) in series {
            let attributes = Attributes::new([("monitor.loss.reason", *name)]);
            kept.add(&AGENT_LOST, &attributes, *value, at(1), at(begun));
        }
        let seconds =
            |series: &Series| series.start.duration_since(at(0)).unwrap_or_default().as_secs();
        kept.end().iter().map(seconds).collect()
    }

    #[test]
    fn counters_begin_anew_after_a_gap_and_when_they_are_set_back() {
        let kept = &mut Kept::default();
        assert_eq!(starts(kept, 10, &[("a", 5.0), ("b", 7.0)]), [1, 1]);
        // One more, and in another order.
        assert_eq!(starts(kept, 11, &[("b", 7.0), ("c", 1.0), ("a", 6.0)]), [1, 11, 1]);
        // One set back, one gone.
        assert_eq!(starts(kept, 12, &[("b", 6.0), ("c", 1.0)]), [12, 11]);
        assert_eq!(starts(kept, 13, &[("a", 9.0), ("b", 6.0), ("c", 2.0)]), [13, 12, 11]);
        assert_eq!(starts(kept, 14, &[]), [0; 0]);
        assert_eq!(starts(kept, 15, &[("c", 2.0)]), [15]);
    }

    #[test]
    fn gauges_go_down_without_beginning_anew() {
        let kept = &mut Kept::default();
        for value in [2.0, 1.0] {
            kept.begin();
            kept.add(&HOST_LOAD_1M, &Attributes::default(), value, at(1), at(2));
            assert_eq!(kept.end()[0].start, at(1));
        }
    }
}
