//! Exported groups with their series: the top K by cost, `(other)` and `(evicted)`.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher, Hash, Hasher},
    ptr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{lingering::Lingering, series::SeriesSet};
use crate::{
    attribution::Group,
    event::SeriesKey,
    metric::MetricDesc,
    sample::{Attributes, Sample, Value},
    top_k::{self, EVICTED, OTHER, Ranked, TopK},
    view::{Exemplar, Series},
};

/// Maximum number of candidates for export that outlast a tick; as many can come in each. So a flood of short processes
/// does not keep an expensive group out.
const CANDIDATES: usize = 4096;

/// A group with the hash of its names. To compute that takes longer than to add a sample.
#[derive(Clone)]
struct Key {
    group: Arc<Group>,
    hash: u64,
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.group, &other.group)
            || self.hash == other.hash && self.group == other.group
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Keys of groups. The samples of a process come one after the other, and need one key.
struct Keys {
    names: RandomState,
    last: Option<Key>,
}

impl Keys {
    fn new() -> Self {
        Self { names: RandomState::new(), last: None }
    }

    fn of(&mut self, group: &Arc<Group>) -> &Key {
        if self.last.as_ref().is_some_and(|last| !Arc::ptr_eq(&last.group, group)) {
            self.last = None;
        }
        let names = &self.names;
        self.last.get_or_insert_with(|| Key { group: group.clone(), hash: names.hash_one(group) })
    }
}

/// Series by group.
pub(super) struct Groups {
    top: usize,
    keys: Keys,
    exported: TopK<Key, SeriesSet>,
    other: SeriesSet,
    /// Evicted groups with their series, which no longer count.
    lingering: Lingering<(Key, SeriesSet)>,
    evicted: SeriesSet,
    /// Costs of groups that are not exported.
    candidates: HashMap<Key, f64>,
    start: SystemTime,
    /// Metrics that were removed from `evicted`, and when.
    removed: Vec<(&'static MetricDesc, SystemTime)>,
    /// When groups were chosen last, which is when the tick under way began.
    chosen: SystemTime,
}

impl Groups {
    /// No groups; at most `top` are exported. The rest is named by the attribute `name`.
    pub(super) fn new(top: usize, name: &'static str, start: SystemTime) -> Self {
        Self {
            top,
            keys: Keys::new(),
            exported: TopK::new(),
            other: SeriesSet::new(Attributes::new([(name, OTHER)])),
            lingering: Lingering::new(),
            evicted: SeriesSet::new(Attributes::new([(name, EVICTED)])),
            candidates: HashMap::new(),
            start,
            removed: Vec::new(),
            chosen: start,
        }
    }

    /// Adds a sample to its group, or to the rest.
    pub(super) fn add(&mut self, group: &Arc<Group>, sample: &Sample<'_>) {
        let cost = cost(sample);
        if is_reserved(group) {
            return self.add_rest(sample);
        }
        let key = self.keys.of(group);
        if let Some(exported) = self.exported.get_mut(key) {
            exported.cost += cost;
            return exported.value.add(sample, self.chosen);
        }
        let key = key.clone();
        if self.exported.len() < self.top {
            let before = self.candidates.remove(&key).unwrap_or(0.0);
            let mut series = self.series_of(&key);
            series.add(sample, self.chosen);
            self.exported.insert(key, Ranked { value: series, cost: before + cost });
        } else {
            self.add_rest(sample);
            if let Some(known) = self.candidates.get_mut(&key) {
                *known += cost;
            } else if self.candidates.len() < 2 * CANDIDATES {
                self.candidates.insert(key, cost);
            }
        }
    }

    /// Has the series that counts a process's latency show it as an example.
    pub(super) fn exemplify(
        &mut self,
        group: &Arc<Group>,
        key: &SeriesKey,
        exemplar: &Arc<Exemplar>,
    ) {
        let has_room = self.exported.len() < self.top;
        match self.exported.get_mut(self.keys.of(group)) {
            _ if is_reserved(group) => self.other.exemplify(key, exemplar),
            Some(exported) => exported.value.exemplify(key, exemplar),
            None if !has_room => self.other.exemplify(key, exemplar),
            // Its own series comes with the first sample, which may be that of the next tick.
            None => {}
        }
    }

    /// Adds a sample to the rest.
    pub(super) fn add_rest(&mut self, sample: &Sample<'_>) {
        self.other.add(sample, self.chosen);
    }

    /// Appends the series of all groups.
    pub(super) fn collect(&self, series: &mut Vec<Series>) {
        self.exported.values().for_each(|exported| exported.collect(series));
        self.lingering.iter().for_each(|(_, lingering)| lingering.collect(series));
        self.other.collect(series);
        self.evicted.collect(series);
    }

    /// Sets the maximum number of exported groups: evicts the cheapest, or exports the most expensive candidates.
    pub(super) fn set_top(&mut self, top: usize) {
        self.top = top;
        while self.exported.len() > top
            && let Some((group, cheapest)) = self.exported.remove_cheapest()
        {
            self.fold(cheapest.value);
            self.candidates.insert(group, cheapest.cost);
        }
        self.fold_lingering();
        for (group, cost) in self.costliest() {
            if self.exported.len() >= top {
                break;
            }
            self.promote(group, cost);
        }
    }

    /// Evicts all groups.
    pub(super) fn regroup(&mut self) {
        let exported: Vec<_> = self.exported.drain().map(|(_, exported)| exported.value).collect();
        exported.into_iter().for_each(|series| self.fold(series));
        self.fold_lingering();
        self.candidates.clear();
    }

    /// Removes the series that `is_gone` selects, and groups without series. `(evicted)` counts these metrics from zero
    /// again.
    pub(super) fn remove(&mut self, is_gone: &dyn Fn(&MetricDesc, &Attributes) -> bool) {
        self.exported.retain(|series| {
            series.remove(is_gone);
            !series.is_empty()
        });
        self.lingering.iter_mut().for_each(|(_, series)| drop(series.remove(is_gone)));
        self.other.remove(is_gone);
        for metric in self.evicted.remove(is_gone) {
            self.removed.retain(|(removed, _)| !ptr::eq(*removed, metric));
            self.removed.push((metric, self.chosen));
        }
    }

    /// Sets the start of series that begin in the current tick.
    pub(super) fn set_since(&mut self, since: SystemTime) {
        self.chosen = since;
    }

    /// Resets all series; they start at `since`.
    pub(super) fn restart(&mut self, since: SystemTime) {
        let exported = self.exported.values_mut();
        let lingering = self.lingering.iter_mut().map(|(_, series)| series);
        let rest = [&mut self.other, &mut self.evicted];
        exported.chain(lingering).chain(rest).for_each(|it| it.restart(since));
        self.start = since;
        self.removed.clear();
    }

    /// The latest start of a series of `(evicted)`, present or future.
    pub(super) fn evicted_since(&self) -> SystemTime {
        self.removed.iter().map(|(_, at)| *at).fold(self.start, SystemTime::max)
    }

    /// Begins a tick.
    pub(super) fn begin_tick(&mut self) {
        self.exported.values_mut().for_each(SeriesSet::begin_tick);
        self.other.begin_tick();
    }

    /// Chooses which groups are exported from now on.
    pub(super) fn choose(&mut self, now: SystemTime, elapsed: Duration) {
        self.chosen = now;
        let decay = top_k::decay(elapsed);
        self.exported.scale(decay);
        self.candidates.retain(|_, cost| {
            *cost *= decay;
            // A microsecond: it did nothing for a long time.
            *cost > 1e3
        });
        for (_, series) in self.lingering.elapse(elapsed) {
            self.fold(series);
        }
        for (candidate, cost) in self.costliest() {
            let Some((group, cheapest)) = self.exported.remove_cheaper(cost) else { break };
            self.evict(group, cheapest);
            self.promote(candidate, cost);
        }
        if self.candidates.len() > CANDIDATES {
            let cheapest = self.costliest().split_off(CANDIDATES);
            for (group, _) in cheapest {
                self.candidates.remove(&group);
            }
        }
        // Bounds the number of series at twice the limit, however often groups are evicted.
        for (_, series) in self.lingering.limit(self.top) {
            self.fold(series);
        }
    }

    /// Candidates with their costs, most expensive first.
    fn costliest(&self) -> Vec<(Key, f64)> {
        let mut candidates: Vec<_> =
            self.candidates.iter().map(|(key, cost)| (key.clone(), *cost)).collect();
        candidates.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        candidates
    }

    /// Makes an evicted group a candidate. Its series linger.
    fn evict(&mut self, key: Key, Ranked { value: mut series, cost }: Ranked<SeriesSet>) {
        self.candidates.insert(key.clone(), cost);
        series.remove_levels(|_, _| true);
        self.lingering.push((key, series));
    }

    /// Adds the counts of an evicted group to `(evicted)`.
    fn fold(&mut self, series: SeriesSet) {
        self.evicted.merge(series, since(self.start, &self.removed));
    }

    /// Adds the counts of all lingering groups to `(evicted)`.
    fn fold_lingering(&mut self) {
        for (_, series) in self.lingering.drain() {
            self.fold(series);
        }
    }

    /// Series of a group to be exported: its former ones if they linger.
    fn series_of(&mut self, key: &Key) -> SeriesSet {
        let lingering = self.lingering.take(|(other, _)| other == key);
        lingering.map_or_else(|| SeriesSet::new(key.group.attributes()), |(_, series)| series)
    }

    /// Exports a candidate.
    fn promote(&mut self, key: Key, cost: f64) {
        self.candidates.remove(&key);
        let series = self.series_of(&key);
        self.exported.insert(key, Ranked { value: series, cost });
    }
}

/// Start of each metric in `(evicted)`.
fn since(
    start: SystemTime,
    removed: &[(&'static MetricDesc, SystemTime)],
) -> impl Fn(&MetricDesc) -> SystemTime {
    move |metric| {
        let last = removed.iter().find(|(removed, _)| ptr::eq(*removed, metric));
        last.map_or(start, |(_, at)| *at)
    }
}

/// Whether a group has the name of `(other)` or `(evicted)`: a process can have any name.
fn is_reserved(group: &Group) -> bool {
    let Group { executable, container_id, container_name, systemd_unit, pid } = group;
    let attributes = [container_id, container_name, systemd_unit];
    [OTHER, EVICTED].contains(&executable.as_str())
        && attributes.iter().all(|name| name.is_none())
        && pid.is_none()
}

/// Cost of a sample for ranking groups.
fn cost(sample: &Sample<'_>) -> f64 {
    match sample.value {
        Value::Increase(ns) if sample.metric.is_cost => ns as f64,
        Value::Histogram(durations) if sample.metric.is_cost => durations.sum_ns as f64,
        _ => 0.0,
    }
}
