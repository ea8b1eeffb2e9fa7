//! A set of series: those of the host, or of one group.

use std::{collections::HashMap, ptr, sync::Arc, time::SystemTime};

use super::{add_slots, address, exemplar};
use crate::{
    event::SeriesKey,
    metric::MetricDesc,
    sample::{Attributes, Durations, Sample, Value},
    view::{Exemplar, Histogram, Point, Series},
};

/// Up to this number of series all are compared; beyond it there is an index.
const LINEAR: usize = 32;

/// Series identified by metric and attributes of the sample.
#[derive(Clone, Debug, Default)]
pub(super) struct SeriesSet {
    /// What all of them have in common.
    common: Attributes,
    series: Vec<Entry>,
    /// Positions in `series` by address of the metric and attributes; empty where there is no index.
    index: HashMap<(usize, Attributes), usize>,
}

#[derive(Clone, Debug)]
struct Entry {
    metric: &'static MetricDesc,
    /// Those of the sample.
    key: Attributes,
    /// Those in common, and those of the sample.
    attributes: Attributes,
    /// Since when it counts.
    start: SystemTime,
    total: Total,
    /// Whether it has what evicted series counted.
    is_evicted: bool,
}

/// A running total.
#[derive(Clone, Debug)]
enum Total {
    /// In the unit of the samples.
    Count(u64),
    /// What there is at the end of the tick under way.
    Level(u64),
    Histogram(Histogram),
}

impl SeriesSet {
    /// No series; all that come have `common` before their own attributes.
    pub(super) fn new(common: Attributes) -> Self {
        Self { common, ..Self::default() }
    }

    /// Adds a sample of what happened since `since`, whoever owns it. Only increases, levels and
    /// durations can be added.
    pub(super) fn add(&mut self, sample: &Sample<'_>, since: SystemTime) {
        let Some(entry) = self.entry(sample, since) else { return };
        match (&mut entry.total, &sample.value) {
            (Total::Count(total), Value::Increase(increase)) => *total += increase,
            (Total::Level(total), Value::Level(level)) => *total += level,
            (Total::Histogram(total), Value::Histogram(durations)) => {
                total.sum_ns += durations.sum_ns;
                add_slots(&mut total.slots, durations);
            }
            (_, value) => debug_assert!(false, "{} changed shape: {value:?}", sample.metric.name),
        }
    }

    /// Has the series of that key show an example of what it counts.
    pub(super) fn exemplify(&mut self, key: &SeriesKey, exemplar: &Arc<Exemplar>) {
        if let Some(position) = self.position(key.metric, &key.attributes)
            && let Total::Histogram(histogram) = &mut self.series[position].total
        {
            exemplar::show(&mut histogram.exemplar, exemplar);
        }
    }

    /// Adds all counters and histograms of another set, which is evicted; `since` says since when those count that are
    /// new here.
    pub(super) fn merge(&mut self, other: Self, since: impl Fn(&MetricDesc) -> SystemTime) {
        // What there is of something is counted anew in each tick, wherever it belongs by then.
        let is_kept = |entry: &Entry| !matches!(entry.total, Total::Level(_));
        for entry in other.series.into_iter().filter(is_kept) {
            let Some(position) = self.position(entry.metric, &entry.key) else {
                let attributes = self.common.with(&entry.key);
                let start = since(entry.metric);
                self.push(Entry { attributes, start, is_evicted: true, ..entry });
                continue;
            };
            let mine = &mut self.series[position];
            match (&mut mine.total, entry.total) {
                (Total::Count(mine), Total::Count(more)) => *mine += more,
                (Total::Histogram(mine), Total::Histogram(more)) => {
                    mine.sum_ns += more.sum_ns;
                    if mine.slots.len() < more.slots.len() {
                        mine.slots.resize(more.slots.len(), 0);
                    }
                    for (mine, more) in mine.slots.iter_mut().zip(more.slots) {
                        *mine += more;
                    }
                }
                _ => {}
            }
        }
    }

    /// Ends the series of a metric whose attributes begin with those of `gone`, and adds what they
    /// counted to those that begin with `to` instead.
    pub(super) fn fold(
        &mut self,
        metric: &MetricDesc,
        gone: &Attributes,
        to: &Attributes,
        since: SystemTime,
    ) {
        let folded = self.series.extract_if(.., |entry| {
            let is_meant = ptr::eq(entry.metric, metric);
            let key = if is_meant { entry.key.replaced(gone, to) } else { None };
            key.is_some_and(|key| {
                entry.key = key;
                true
            })
        });
        let folded = Self { series: folded.collect(), ..Self::default() };
        self.index.clear();
        self.merge(folded, |_| since);
    }

    /// Removes the series that `is_gone` says so of, by their metric and the sample's attributes, and
    /// returns their metrics.
    pub(super) fn remove(
        &mut self,
        is_gone: &dyn Fn(&MetricDesc, &Attributes) -> bool,
    ) -> Vec<&'static MetricDesc> {
        self.index.clear();
        let gone = self.series.extract_if(.., |entry| is_gone(entry.metric, &entry.key));
        gone.map(|entry| entry.metric).collect()
    }

    /// Removes the series of what there is at present that `is_gone` says so of.
    pub(super) fn remove_levels(&mut self, is_gone: impl Fn(&MetricDesc, &Attributes) -> bool) {
        self.index.clear();
        self.series.retain(|entry| {
            !(matches!(entry.total, Total::Level(_)) && is_gone(entry.metric, &entry.key))
        });
    }

    /// Whether there are no series.
    pub(super) fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Appends the present values.
    pub(super) fn collect(&self, series: &mut Vec<Series>) {
        series.extend(self.series.iter().map(|entry| Series {
            metric: entry.metric,
            attributes: entry.attributes.clone(),
            start: entry.start,
            value: entry.total.point(entry.metric),
            is_evicted: entry.is_evicted,
        }));
    }

    /// Counts from zero again, since `since`.
    pub(super) fn restart(&mut self, since: SystemTime) {
        for entry in &mut self.series {
            entry.start = since;
            match &mut entry.total {
                Total::Count(total) | Total::Level(total) => *total = 0,
                Total::Histogram(total) => *total = Histogram::empty(total.shift),
            }
        }
    }

    /// Begins a tick: nothing is known yet of how much there is.
    pub(super) fn begin_tick(&mut self) {
        for entry in &mut self.series {
            if let Total::Level(level) = &mut entry.total {
                *level = 0;
            }
        }
    }

    fn entry(&mut self, sample: &Sample<'_>, start: SystemTime) -> Option<&mut Entry> {
        let position = match self.position(sample.metric, sample.attributes) {
            Some(position) => position,
            None => {
                self.push(Entry {
                    metric: sample.metric,
                    key: sample.attributes.clone(),
                    attributes: self.common.with(sample.attributes),
                    start,
                    total: Total::zero(&sample.value)?,
                    is_evicted: false,
                });
                self.series.len() - 1
            }
        };
        self.series.get_mut(position)
    }

    fn push(&mut self, entry: Entry) {
        if !self.index.is_empty() {
            self.index.insert(entry.index_key(), self.series.len());
        }
        self.series.push(entry);
    }

    fn position(&mut self, metric: &MetricDesc, attributes: &Attributes) -> Option<usize> {
        if self.series.len() <= LINEAR {
            let is_meant =
                |entry: &Entry| ptr::eq(entry.metric, metric) && entry.key == *attributes;
            return self.series.iter().position(is_meant);
        }
        if self.index.is_empty() {
            self.index = self.series.iter().map(Entry::index_key).zip(0..).collect();
        }
        self.index.get(&(address(metric), attributes.clone())).copied()
    }
}

impl Entry {
    fn index_key(&self) -> (usize, Attributes) {
        (address(self.metric), self.key.clone())
    }
}

impl Total {
    /// Where adding values of this shape begins.
    fn zero(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Increase(_) => Some(Self::Count(0)),
            Value::Level(_) => Some(Self::Level(0)),
            Value::Histogram(Durations { shift, .. }) => {
                Some(Self::Histogram(Histogram::empty(*shift)))
            }
            Value::Total(_) | Value::SinceBoot(_) | Value::Gauge(_) | Value::Evicted(_) => None,
        }
    }

    fn point(&self, metric: &MetricDesc) -> Point {
        match self {
            // Samples count time in nanoseconds, metrics in seconds.
            Self::Count(total) if metric.unit == "s" => Point::Number(*total as f64 / 1e9),
            Self::Count(total) | Self::Level(total) => Point::Number(*total as f64),
            Self::Histogram(total) => Point::Histogram(total.clone()),
        }
    }
}
