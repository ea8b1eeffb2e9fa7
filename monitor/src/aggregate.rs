//! Aggregation of samples into series. Pure: no I/O.
//!
//! Each increase of a process counts for exactly one exported group, so the groups sum to the host. Groups that are not
//! exported count in `(other)`. The series of a newly exported group start at zero. Those of an evicted group stay for
//! [`lingering::LINGER`]; then `(evicted)` takes their counts. So no series decreases while it exists, and only
//! `(evicted)` increases without activity.

mod exemplar;
mod external;
mod groups;
mod lingering;
mod processes;
mod reconcile;
mod series;

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use self::{
    external::External, groups::Groups, lingering::Lingering, processes::Processes,
    reconcile::Reconciled, series::SeriesSet,
};
use crate::{
    attribution::Group,
    event::Among,
    metric::{AGENT_LOST, MetricDesc, PROCESS_OFFCPU_LATENCY, PROCESS_RUNQUEUE_LATENCY, catalogue},
    sample::{Attributes, Durations, Owner, Sample, Value},
    view::{Exemplar, Point, ProcessRow, Series},
};

/// Histograms of processes that come later than those of the host, which is reconciled with them.
const LATE: [&MetricDesc; 2] = [&PROCESS_RUNQUEUE_LATENCY, &PROCESS_OFFCPU_LATENCY];

/// How many metrics of services linger at most.
const MAX_LINGERING: usize = 1024;

/// The state of all series.
pub struct Aggregate {
    groups: Groups,
    /// Containers and units.
    places: Groups,
    host: SeriesSet,
    /// Series of evicted services.
    lingering: Lingering<EvictedSeries>,
    external: External,
    /// Those of which something was measured.
    reconciled: [Option<Reconciled>; LATE.len()],
    processes: Processes,
    /// Of the series of durations that no group was given.
    unattributed: Attributes,
    /// When the host was booted.
    booted: SystemTime,
    /// When the tick under way began.
    since: SystemTime,
    /// The latest start of a series.
    latest_start: SystemTime,
}

/// Series of the host whose attributes begin with `from`, and what they become.
struct EvictedSeries {
    metric: &'static MetricDesc,
    from: Attributes,
    to: Attributes,
}

impl Aggregate {
    /// Nothing counted since `start`, on a host that was booted at `booted`. At most `top` groups, and
    /// as many containers and units, are exported beside `(other)`.
    pub fn new(top: usize, start: SystemTime, booted: SystemTime) -> Self {
        Self {
            groups: Groups::new(top, "process.executable.name", start),
            // No unit can be called so.
            places: Groups::new(top, "systemd.unit", start),
            host: SeriesSet::default(),
            lingering: Lingering::new(),
            external: External::default(),
            reconciled: Default::default(),
            processes: Processes::default(),
            unattributed: Attributes::new([
                ("monitor.probe", "sched"),
                ("monitor.loss.reason", "unattributed"),
            ]),
            booted,
            since: start,
            latest_start: start,
        }
    }

    /// Begins a tick that ended at `now`, by a clock that may have been set, and took `interval`, on a
    /// host that was booted at `booted` by the same clock. A start never moves while its series counts on,
    /// and never lies after the series' own time: where the clock was set to a time before the start of a
    /// series, all series restart together, and count what happened in this tick and later. Returns
    /// whether they do.
    pub fn begin(&mut self, now: SystemTime, interval: Duration, booted: SystemTime) -> bool {
        self.booted = booted.min(now);
        self.since = self.since.min(now.checked_sub(interval).unwrap_or(now));
        let since = self.since;
        self.groups.set_since(since);
        self.places.set_since(since);
        let restarts = self.latest_start > now;
        if restarts {
            self.groups.restart(since);
            self.places.restart(since);
            self.host.restart(since);
            self.external.restart(since);
            self.reconciled.iter_mut().flatten().for_each(|reconciled| reconciled.restart(since));
        }
        restarts
    }

    /// Sets the maximum number of exported groups.
    pub fn set_top(&mut self, top: usize) {
        self.groups.set_top(top);
        self.places.set_top(top);
    }

    /// Evicts all groups, as the grouping key has changed.
    pub fn regroup(&mut self) {
        self.groups.regroup();
    }

    /// Removes all series of a probe: those of its `metrics`, and those about it.
    pub fn forget(&mut self, probe: &str, metrics: &[&MetricDesc]) {
        let measured =
            |metric: &MetricDesc| metrics.iter().any(|measured| std::ptr::eq(*measured, metric));
        let is_gone = |metric: &MetricDesc, attributes: &Attributes| {
            measured(metric) || attributes.iter().any(|pair| pair == ("monitor.probe", probe))
        };
        self.groups.remove(&is_gone);
        self.host.remove(&is_gone);
        self.external.remove(&is_gone);
        for (metric, reconciled) in LATE.iter().zip(&mut self.reconciled) {
            if measured(metric) {
                *reconciled = None;
            }
        }
    }

    /// Adds a sample; `group` finds the group of its process.
    pub fn add(&mut self, sample: &Sample<'_>, group: impl FnOnce() -> Arc<Group>) {
        if sample.owner == Owner::Host {
            if let Value::Evicted(to) = sample.value {
                let (metric, from, to) = (sample.metric, sample.attributes.clone(), to.clone());
                let evicted = EvictedSeries { metric, from, to };
                // Its present level counts in `(other)` from now on.
                self.host.remove_levels(|metric, attributes| evicted.has(metric, attributes));
                return self.lingering.push(evicted);
            }
            if !self.lingering.is_empty() {
                // A service that is exported again continues its series.
                self.lingering.retain(|it| !it.has(sample.metric, sample.attributes));
            }
            match (&sample.value, self.reconciled(|late| late.host, sample.metric)) {
                (Value::Histogram(durations), Some(reconciled)) => reconciled.record(durations),
                _ => self.host.add(sample, self.since),
            }
            return;
        }
        if let (Value::Histogram(durations), Some(reconciled)) =
            (&sample.value, self.reconciled(Some, sample.metric))
        {
            reconciled.reconcile(durations);
        }
        let Owner::Process(process) = sample.owner else {
            return self.groups.add_rest(sample);
        };
        let group = group();
        self.groups.add(&group, sample);
        if process.pid != 0 {
            self.processes.add(process.pid, &group, sample);
        }
    }

    /// Has the series that count a slow latency, of a process of this group, show it as an example.
    pub fn exemplify(&mut self, group: &Arc<Group>, among: &Among, exemplar: &Arc<Exemplar>) {
        self.groups.exemplify(group, &among.group, exemplar);
        match self.reconciled(|late| late.host, among.host.metric) {
            Some(reconciled) => reconciled.exemplify(exemplar),
            None => self.host.exemplify(&among.host, exemplar),
        }
    }

    /// Adds to a counter of a container or unit.
    pub fn add_place(
        &mut self,
        group: &Arc<Group>,
        metric: &'static MetricDesc,
        attributes: &Attributes,
        increase: u64,
    ) {
        let value = Value::Increase(increase);
        self.places.add(group, &Sample { metric, owner: Owner::Host, attributes, value });
    }

    /// Updates external counters and gauges. Those that are not updated end.
    pub fn refresh(&mut self, collect: impl FnOnce(&mut dyn FnMut(Sample<'_>))) {
        self.external.begin();
        collect(&mut |sample| {
            let (value, first) = match sample.value {
                Value::Total(value) | Value::Gauge(value) => (value, self.since),
                Value::SinceBoot(value) => (value, self.booted),
                _ => return,
            };
            self.external.add(sample.metric, sample.attributes, value, first, self.since);
        });
        self.external.end();
    }

    /// Ends a tick that took `interval`: all series, ordered as the catalogue is, and the processes
    /// that did something, the longest wait for a CPU first.
    pub fn finish(
        &mut self,
        now: SystemTime,
        interval: Duration,
    ) -> (Vec<Series>, Vec<ProcessRow>) {
        let mut series: Vec<_> = self.external.series().collect();
        self.host.collect(&mut series);
        for (late, reconciled) in LATE.iter().zip(&mut self.reconciled) {
            let (Some(metric), Some(reconciled)) = (late.host, reconciled) else { continue };
            reconciled.publish();
            series.push(Series {
                metric,
                attributes: Attributes::default(),
                start: reconciled.start,
                value: reconciled.point(),
                is_evicted: false,
            });
        }
        let lost = self
            .reconciled
            .iter()
            .flatten()
            .map(|reconciled| (reconciled.start, reconciled.lost()));
        // It has counted since the first of them began.
        let lost = lost.reduce(|(start, lost), (other, more)| (start.min(other), lost + more));
        series.extend(lost.map(|(start, lost)| Series {
            metric: &AGENT_LOST,
            attributes: self.unattributed.clone(),
            start,
            value: Point::Number(lost as f64),
            is_evicted: false,
        }));
        self.groups.collect(&mut series);
        self.places.collect(&mut series);
        let series = in_order(series);
        let evicted = [&self.groups, &self.places].map(Groups::evicted_since);
        let starts = series.iter().map(|series| series.start).chain(evicted);
        self.latest_start = starts.max().unwrap_or(now);
        self.end_lingering(interval);
        self.groups.choose(now, interval);
        self.places.choose(now, interval);
        self.since = now;
        self.groups.begin_tick();
        self.host.begin_tick();
        (series, self.processes.take(interval))
    }

    /// Adds the counts of evicted services to `(evicted)` once they have lingered, or are too many.
    fn end_lingering(&mut self, interval: Duration) {
        let mut ended = self.lingering.elapse(interval);
        ended.extend(self.lingering.limit(MAX_LINGERING));
        for EvictedSeries { metric, from, to } in ended {
            self.host.fold(metric, &from, &to, self.since);
        }
    }

    /// The reconciled histogram of a metric, which is `of` the late one.
    fn reconciled(
        &mut self,
        of: impl Fn(&'static MetricDesc) -> Option<&'static MetricDesc>,
        metric: &MetricDesc,
    ) -> Option<&mut Reconciled> {
        let is_wanted =
            |late: &&'static MetricDesc| of(late).is_some_and(|it| std::ptr::eq(it, metric));
        let index = LATE.iter().position(is_wanted)?;
        let since = self.since;
        Some(self.reconciled.get_mut(index)?.get_or_insert_with(|| Reconciled::new(since)))
    }
}

impl EvictedSeries {
    /// Whether a series is one of them.
    fn has(&self, metric: &MetricDesc, attributes: &Attributes) -> bool {
        std::ptr::eq(self.metric, metric) && attributes.replaced(&self.from, &self.to).is_some()
    }
}

/// Series in the order of the catalogue. There are few metrics, so series go to a list for each.
fn in_order(series: Vec<Series>) -> Vec<Series> {
    static INDEXES: LazyLock<HashMap<usize, usize>> =
        LazyLock::new(|| catalogue().map(address).zip(0..).collect());
    let count = series.len();
    let mut by_metric: Vec<Vec<Series>> = Vec::new();
    by_metric.resize_with(INDEXES.len() + 1, Vec::new);
    for series in series {
        let index = INDEXES.get(&address(series.metric)).copied().unwrap_or(INDEXES.len());
        by_metric[index].push(series);
    }
    let mut ordered = Vec::with_capacity(count);
    by_metric.into_iter().for_each(|series| ordered.extend(series));
    ordered
}

fn address(metric: &MetricDesc) -> usize {
    std::ptr::from_ref(metric).addr()
}

/// Adds the durations of a tick to a cumulative histogram of the same scale.
fn add_slots(slots: &mut Vec<u64>, durations: &Durations<'_>) {
    if let Some(&(last, _)) = durations.slots.last()
        && slots.len() <= usize::from(last)
    {
        slots.resize(usize::from(last) + 1, 0);
    }
    for &(slot, count) in durations.slots {
        slots[usize::from(slot)] += u64::from(count);
    }
}

#[cfg(test)]
mod tests;
