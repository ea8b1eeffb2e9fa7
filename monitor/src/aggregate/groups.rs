//! Which groups are exported, and all that they counted.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::series::SeriesSet;
use crate::{
    attribution::Group,
    event::SeriesKey,
    metric::MetricDesc,
    sample::{Attributes, Sample, Value},
    view::{Exemplar, Series},
};

/// The name of the group of all that have none of their own.
const OTHER: &str = "(other)";

/// The name of what groups counted that had a series of their own and lost it. It is no group of
/// processes: its series jump when a group comes to it, which is no activity.
const RETIRED: &str = "(retired)";

/// Costs halve in this time, so that what a group did long ago does not keep it exported.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// A group gets the place of another when it costs this much more: groups of the same cost must not
/// take turns.
const MARGIN: f64 = 2.0;

/// How many groups without a place are compared; more than that are in `(other)` unseen.
const CANDIDATES: usize = 4096;

/// Exported groups, and the rest.
pub(super) struct Groups {
    top: usize,
    exported: HashMap<Arc<Group>, Exported>,
    other: SeriesSet,
    retired: SeriesSet,
    /// What groups without a place cost.
    candidates: HashMap<Arc<Group>, f64>,
    /// Since when series count that are yet to come to `retired`.
    start: SystemTime,
    /// When groups were chosen last, which is when the tick under way began.
    chosen: SystemTime,
}

struct Exported {
    series: SeriesSet,
    cost: f64,
}

impl Groups {
    /// No groups; at most `top` are exported. The rest is named by the attribute `name`.
    pub(super) fn new(top: usize, name: &'static str, start: SystemTime) -> Self {
        Self {
            top,
            exported: HashMap::new(),
            other: SeriesSet::new(Attributes::new([(name, OTHER)])),
            retired: SeriesSet::new(Attributes::new([(name, RETIRED)])),
            candidates: HashMap::new(),
            start,
            chosen: start,
        }
    }

    /// Adds a sample to its group, or to the rest.
    pub(super) fn add(&mut self, group: &Arc<Group>, sample: &Sample<'_>) {
        let cost = cost(sample);
        if is_reserved(group) {
            self.add_rest(sample);
        } else if let Some(exported) = self.exported.get_mut(group) {
            exported.cost += cost;
            exported.series.add(sample, self.chosen);
        } else if self.exported.len() < self.top {
            let before = self.candidates.remove(group).unwrap_or(0.0);
            let mut exported = Exported::new(group, before + cost);
            exported.series.add(sample, self.chosen);
            self.exported.insert(group.clone(), exported);
        } else {
            self.add_rest(sample);
            if let Some(known) = self.candidates.get_mut(group) {
                *known += cost;
            } else if self.candidates.len() < CANDIDATES {
                self.candidates.insert(group.clone(), cost);
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
        match self.exported.get_mut(group) {
            _ if is_reserved(group) => self.other.exemplify(key, exemplar),
            Some(exported) => exported.series.exemplify(key, exemplar),
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
        for exported in self.exported.values() {
            exported.series.collect(series);
        }
        self.other.collect(series);
        self.retired.collect(series);
    }

    /// From now on at most `top` groups are exported: the cheapest lose their places, or the costliest
    /// that have none get one.
    pub(super) fn set_top(&mut self, top: usize) {
        self.top = top;
        while self.exported.len() > top {
            let Some(cheapest) = self.cheapest() else { break };
            self.retire(&cheapest);
        }
        for (group, cost) in self.costliest() {
            if self.exported.len() >= top {
                break;
            }
            self.candidates.remove(&group);
            self.exported.insert(group.clone(), Exported::new(&group, cost));
        }
    }

    /// Starts all groups anew.
    pub(super) fn regroup(&mut self) {
        for (_, exported) in self.exported.drain() {
            self.retired.merge(exported.series, self.start);
        }
        self.candidates.clear();
    }

    /// Removes the series that `is_gone` says so of, and the groups that have none left. What is retired
    /// of them from now on begins anew.
    pub(super) fn remove(&mut self, is_gone: &dyn Fn(&MetricDesc, &Attributes) -> bool) {
        self.exported.retain(|_, exported| {
            exported.series.remove(is_gone);
            !exported.series.is_empty()
        });
        self.other.remove(is_gone);
        self.retired.remove(is_gone);
        self.start = self.chosen;
    }

    /// Begins a tick.
    pub(super) fn begin_tick(&mut self) {
        self.exported.values_mut().for_each(|exported| exported.series.begin_tick());
        self.other.begin_tick();
    }

    /// Chooses which groups are exported from now on.
    pub(super) fn choose(&mut self, now: SystemTime, elapsed: Duration) {
        self.chosen = now;
        let keep = 0.5f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64());
        for exported in self.exported.values_mut() {
            exported.cost *= keep;
        }
        self.candidates.retain(|_, cost| {
            *cost *= keep;
            // A microsecond: it did nothing for a long time.
            *cost > 1e3
        });
        for (candidate, cost) in self.costliest() {
            let Some(cheapest) = self.cheapest() else { break };
            if cost <= MARGIN * self.exported[&cheapest].cost {
                break;
            }
            self.retire(&cheapest);
            self.candidates.remove(&candidate);
            self.exported.insert(candidate.clone(), Exported::new(&candidate, cost));
        }
    }

    /// The groups without a place, and what they cost; the costliest first.
    fn costliest(&self) -> Vec<(Arc<Group>, f64)> {
        let mut candidates: Vec<_> =
            self.candidates.iter().map(|(group, cost)| (group.clone(), *cost)).collect();
        candidates.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        candidates
    }

    /// The exported group that costs least.
    fn cheapest(&self) -> Option<Arc<Group>> {
        let cheapest = self.exported.iter().min_by(|(_, a), (_, b)| a.cost.total_cmp(&b.cost));
        cheapest.map(|(group, _)| group.clone())
    }

    /// Takes a group's place away.
    fn retire(&mut self, group: &Arc<Group>) {
        if let Some(dropped) = self.exported.remove(group) {
            self.retired.merge(dropped.series, self.start);
            self.candidates.insert(group.clone(), dropped.cost);
        }
    }
}

impl Exported {
    fn new(group: &Group, cost: f64) -> Self {
        Self { series: SeriesSet::new(group.attributes()), cost }
    }
}

/// Whether a group's series would look like ours: anybody can call a process anything.
fn is_reserved(group: &Group) -> bool {
    let Group { executable, container_id, container_name, systemd_unit, pid } = group;
    let place = [container_id, container_name, systemd_unit];
    [OTHER, RETIRED].contains(&executable.as_str())
        && place.iter().all(|name| name.is_none())
        && pid.is_none()
}

/// What a sample says of how much its group matters.
fn cost(sample: &Sample<'_>) -> f64 {
    match sample.value {
        Value::Increase(ns) if sample.metric.is_cost() => ns as f64,
        Value::Histogram(durations) if sample.metric.is_cost() => durations.sum_ns as f64,
        _ => 0.0,
    }
}
