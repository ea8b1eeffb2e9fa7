//! Which groups are exported, and all that they counted.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::series::SeriesSet;
use crate::{
    attribution::Group,
    metric::{PROCESS_CPU_TIME, PROCESS_RUNQUEUE_LATENCY},
    sample::{Attributes, Sample, Value},
    view::Series,
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
    start: SystemTime,
    chosen: SystemTime,
}

struct Exported {
    start: SystemTime,
    series: SeriesSet,
    cost: f64,
}

impl Groups {
    /// No groups; at most `top` are exported.
    pub(super) fn new(top: usize, start: SystemTime) -> Self {
        Self {
            top,
            exported: HashMap::new(),
            other: SeriesSet::new(Attributes::new([("process.executable.name", OTHER)])),
            retired: SeriesSet::new(Attributes::new([("process.executable.name", RETIRED)])),
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
            exported.series.add(sample);
        } else if self.exported.len() < self.top {
            let mut exported = Exported::new(group, self.chosen);
            exported.cost = cost;
            exported.series.add(sample);
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

    /// Adds a sample to the rest.
    pub(super) fn add_rest(&mut self, sample: &Sample<'_>) {
        self.other.add(sample);
    }

    /// Appends the series of all groups.
    pub(super) fn collect(&self, series: &mut Vec<Series>) {
        for exported in self.exported.values() {
            exported.series.collect(exported.start, series);
        }
        self.other.collect(self.start, series);
        self.retired.collect(self.start, series);
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
        let mut candidates: Vec<_> =
            self.candidates.iter().map(|(group, cost)| (group.clone(), *cost)).collect();
        candidates.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        for (candidate, cost) in candidates {
            let cheapest = self.exported.iter().min_by(|(_, a), (_, b)| a.cost.total_cmp(&b.cost));
            let Some((cheapest, exported)) = cheapest else { break };
            if cost <= MARGIN * exported.cost {
                break;
            }
            let cheapest = cheapest.clone();
            if let Some(dropped) = self.exported.remove(&cheapest) {
                self.retired.merge(dropped.series);
                self.candidates.insert(cheapest, dropped.cost);
            }
            self.candidates.remove(&candidate);
            let mut exported = Exported::new(&candidate, now);
            exported.cost = cost;
            self.exported.insert(candidate, exported);
        }
    }
}

impl Exported {
    fn new(group: &Group, start: SystemTime) -> Self {
        Self { start, series: SeriesSet::new(group.attributes()), cost: 0.0 }
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

/// What a sample says of how much its group matters: time on a CPU and time waiting for one.
fn cost(sample: &Sample<'_>) -> f64 {
    match sample.value {
        Value::Increase(ns) if std::ptr::eq(sample.metric, &PROCESS_CPU_TIME) => ns as f64,
        Value::Histogram(durations) if std::ptr::eq(sample.metric, &PROCESS_RUNQUEUE_LATENCY) => {
            durations.sum_ns as f64
        }
        _ => 0.0,
    }
}
