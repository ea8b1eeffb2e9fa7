//! Delta temporality: how much counters and histograms grew since the last export.
//!
//! Requests wait here until they are taken, and no others are made meanwhile: after an outage the next ones have all
//! growth since. So an outage takes the memory of one export.

use std::{
    collections::{HashMap, VecDeque, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use opentelemetry_proto::tonic::resource::v1::Resource;

use super::metrics::{Request, Sent, requests};
use crate::{
    config::Temporality,
    sample::Attributes,
    top_k::EVICTED,
    view::{Point, Series, View},
};

/// The growth that is on its way to a receiver, and up to when. It outlives senders.
#[derive(Debug)]
pub struct Deltas(Mutex<State>);

#[derive(Debug)]
struct State {
    /// When counting began; `None` for the first view that is exported. Growth of older counters, such as the kernel's since
    /// boot, counts from that view on.
    begin: Option<SystemTime>,
    /// The view up to which all growth is in requests.
    base: Option<Arc<View>>,
    sent: Sent,
    /// Requests that wait, oldest first.
    requests: VecDeque<Request>,
}

impl Deltas {
    /// Growth since `begin`.
    pub fn new(begin: SystemTime) -> Self {
        Self(Mutex::new(State::new(Some(begin))))
    }

    /// The request to send next.
    pub(super) fn first(&self) -> Option<Request> {
        self.lock().requests.front().cloned()
    }

    /// Notes whether the receiver may have the first request.
    pub(super) fn doubt_first(&self, in_doubt: bool) {
        if let Some(request) = self.lock().requests.front_mut() {
            request.in_doubt = in_doubt;
        }
    }

    /// Removes the request that [`Self::first`] returns.
    pub(super) fn remove_first(&self) {
        self.lock().requests.pop_front();
    }

    /// Makes requests of at most `limit` bytes with the growth up to `view`. Returns false where they have it already.
    pub(super) fn advance(
        &self,
        view: &Arc<View>,
        temporality: Temporality,
        resource: Resource,
        limit: usize,
    ) -> bool {
        let mut state = self.lock();
        if view.tick <= state.sent.tick {
            return false;
        }
        let series = state.growth(view, temporality);
        let grown = View { tick: view.tick, time: view.time, series, ..View::empty(view.interval) };
        let made = requests(&grown, state.sent, temporality, resource, limit).collect();
        state.requests = made;
        state.sent.taken(view);
        state.sent.tick = view.tick;
        state.base = Some(view.clone());
        true
    }

    /// Drops the requests that wait, and all growth up to `view`. Returns how many points both have.
    pub(super) fn abandon(&self, view: &View, temporality: Temporality) -> u64 {
        let mut state = self.lock();
        let waiting: u64 = state.requests.drain(..).map(|request| request.points).sum();
        let grown = state.growth(view, temporality);
        let grown = grown.iter().filter(|series| temporality.is_delta(series.metric.kind));
        waiting + grown.count() as u64
    }

    /// Drops the requests that wait, and all growth until now. Returns how many points the requests have.
    pub(super) fn reset(&self) -> u64 {
        let mut state = self.lock();
        let waiting = state.requests.iter().map(|request| request.points).sum();
        *state = State::new(None);
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn new(begin: Option<SystemTime>) -> Self {
        Self { begin, base: None, sent: Sent::default(), requests: VecDeque::new() }
    }

    /// The growth that is in no request, up to `view`.
    fn growth(&self, view: &View, temporality: Temporality) -> Vec<Series> {
        growth(self.base.as_deref(), self.begin.unwrap_or(view.time), view, temporality)
    }
}

/// What identifies a series.
type Key<'a> = (&'static str, &'a Attributes);

fn key(series: &Series) -> Key<'_> {
    (series.metric.name, &series.attributes)
}

/// The series of `view`, with the growth since `base` of those that are to be deltas. Those that did not grow are left
/// out.
fn growth(
    base: Option<&View>,
    begin: SystemTime,
    view: &View,
    temporality: Temporality,
) -> Vec<Series> {
    // What is older and unknown was away, such as a disk, or is of before the first export.
    let known_since = base.map_or(begin, |base| base.time.min(view.time));
    let is_delta = |series: &&Series| temporality.is_delta(series.metric.kind);
    let old = base.into_iter().flat_map(|base| &base.series).filter(is_delta);
    let mut known: HashMap<_, _> = old.map(|series| (key(series), series)).collect();
    // Those that ended, and those that were reset.
    let mut ended = Vec::new();
    let mut grown = Vec::with_capacity(view.series.len());
    for series in &view.series {
        let mut new = series.clone();
        if is_delta(&series) {
            match known.entry(key(series)) {
                Entry::Occupied(old) if old.get().start == series.start => {
                    subtract(&mut new.value, &old.remove().value);
                    new.start = base.map_or(series.start, |base| base.time.min(view.time));
                }
                Entry::Occupied(old) => ended.push(old.remove()),
                // It may count since long before its first series was evicted.
                Entry::Vacant(_) if series.is_evicted => new.start = series.start.max(known_since),
                Entry::Vacant(_) if series.start < known_since => continue,
                Entry::Vacant(_) => {}
            }
        }
        grown.push(new);
    }
    ended.extend(known.into_values());
    without_exported(&mut grown, &ended);
    grown.retain(|series| !is_delta(&series) || !is_zero(&series.value));
    grown
}

/// What an evicted group or service counted moves to the series that has the counts of all that were evicted. Most of it was
/// exported before: only what it counted since is growth.
fn without_exported(grown: &mut [Series], ended: &[&Series]) {
    if ended.is_empty() {
        return;
    }
    let mut evicted = HashMap::<_, Vec<_>>::new();
    for series in grown {
        if series.is_evicted {
            evicted.entry(series.metric.name).or_default().push(series);
        }
    }
    for old in ended {
        let candidates = evicted.get_mut(old.metric.name).into_iter().flatten();
        let moved_to = candidates
            .filter(|series| takes(&series.attributes, &old.attributes))
            .max_by_key(|series| series.attributes.iter().count());
        if let Some(series) = moved_to {
            subtract(&mut series.value, &old.value);
        }
    }
}

/// Whether evicted series with these attributes have the counts of `old`: they share all but what names it.
fn takes(evicted: &Attributes, old: &Attributes) -> bool {
    let mut shared = evicted.iter().filter(|(_, value)| *value != EVICTED);
    shared.all(|attribute| old.iter().any(|other| other == attribute))
}

/// Series of a metric have the same scale.
fn subtract(value: &mut Point, old: &Point) {
    match (value, old) {
        (Point::Number(value), Point::Number(old)) => *value = (*value - old).max(0.0),
        (Point::Histogram(value), Point::Histogram(old)) => {
            value.sum_ns = value.sum_ns.saturating_sub(old.sum_ns);
            for (count, old) in value.slots.iter_mut().zip(&old.slots) {
                *count = count.saturating_sub(*old);
            }
        }
        (value, old) => debug_assert!(false, "{value:?} is of another shape than {old:?}"),
    }
}

fn is_zero(value: &Point) -> bool {
    match value {
        Point::Number(value) => *value == 0.0,
        Point::Histogram(histogram) => histogram.slots.iter().all(|count| *count == 0),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::{
        metric::{
            CGROUP_CPU_THROTTLED_TIME, MetricDesc, PROCESS_CPU_TIME, PROCESS_RUNQUEUE_LATENCY,
            SYSTEM_CPU_LOGICAL_COUNT,
        },
        view::Histogram,
    };

    fn at(second: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(second)
    }

    fn series(metric: &'static MetricDesc, name: &str, start: u64, value: Point) -> Series {
        let attributes = Attributes::new([("process.executable.name", name), ("cpu.mode", "user")]);
        Series { metric, attributes, start: at(start), value, is_evicted: false }
    }

    fn cpu(name: &str, start: u64, seconds: f64) -> Series {
        series(&PROCESS_CPU_TIME, name, start, Point::Number(seconds))
    }

    /// What evicted groups counted.
    fn evicted(seconds: f64) -> Series {
        Series { is_evicted: true, ..cpu(EVICTED, 100, seconds) }
    }

    fn waits(name: &str, slots: &[u64]) -> Series {
        let sum_ns = u128::from(slots.iter().sum::<u64>()) * 1000;
        let histogram = Histogram { sum_ns, slots: slots.to_vec(), ..Histogram::empty(2) };
        series(&PROCESS_RUNQUEUE_LATENCY, name, 100, Point::Histogram(histogram))
    }

    fn view(time: u64, series: Vec<Series>) -> View {
        View { tick: time, time: at(time), series, ..View::empty(Duration::from_secs(1)) }
    }

    /// The growth of number series: name, start and value.
    fn numbers(
        base: Option<&View>,
        view: &View,
        temporality: Temporality,
    ) -> Vec<(String, u64, f64)> {
        let grown = growth(base, at(100), view, temporality);
        let number = |series: &Series| {
            let Point::Number(value) = series.value else { return None };
            let name = series.attributes.iter().next()?.1.to_owned();
            let start = series.start.duration_since(UNIX_EPOCH).unwrap().as_secs();
            Some((name, start, value))
        };
        grown.iter().filter_map(number).collect()
    }

    fn of(name: &str, start: u64, value: f64) -> (String, u64, f64) {
        (name.to_owned(), start, value)
    }

    #[test]
    fn first_export_has_what_was_counted_since_the_start_and_nothing_older() {
        let first = view(110, vec![cpu("ours", 100, 3.0), cpu("since-boot", 5, 1e6)]);
        assert_eq!(numbers(None, &first, Temporality::Delta), [of("ours", 100, 3.0)]);
        let second = view(120, vec![cpu("ours", 100, 4.5), cpu("since-boot", 5, 1e6 + 1.0)]);
        assert_eq!(
            numbers(Some(&first), &second, Temporality::Delta),
            [of("ours", 110, 1.5), of("since-boot", 110, 1.0)]
        );
    }

    #[test]
    fn series_that_begin_or_are_reset_count_from_their_start() {
        let first = view(110, vec![cpu("a", 100, 3.0), cpu("b", 100, 7.0)]);
        let second = view(120, vec![cpu("a", 115, 2.0), cpu("b", 100, 7.0), cpu("c", 117, 1.0)]);
        assert_eq!(
            numbers(Some(&first), &second, Temporality::Delta),
            [of("a", 115, 2.0), of("c", 117, 1.0)]
        );
    }

    #[test]
    fn series_that_was_away_does_not_count_again() {
        let away = view(110, Vec::new());
        let back = view(120, vec![cpu("disk", 5, 1e6), cpu("new", 110, 2.0)]);
        assert_eq!(numbers(Some(&away), &back, Temporality::Delta), [of("new", 110, 2.0)]);
    }

    #[test]
    fn evicted_groups_count_once() {
        let first = view(110, vec![cpu("a", 100, 3.0), cpu("b", 100, 5.0), evicted(4.0)]);
        // One is evicted, another is evicted and comes back. They counted 0.5 and 0.25 before.
        let second = view(120, vec![cpu("b", 118, 1.0), evicted(4.0 + 3.5 + 5.25)]);
        assert_eq!(
            numbers(Some(&first), &second, Temporality::Delta),
            [of("b", 118, 1.0), of(EVICTED, 110, 0.75)]
        );
    }

    #[test]
    fn first_evicted_group_counts_from_the_last_export() {
        let first = view(110, vec![cpu("a", 100, 3.0)]);
        let second = view(120, vec![evicted(3.5)]);
        assert_eq!(numbers(Some(&first), &second, Temporality::Delta), [of(EVICTED, 110, 0.5)]);
    }

    #[test]
    fn evicted_container_without_a_unit_counts_once() {
        let of_cgroup = |attribute, name, seconds, is_evicted| {
            let attributes = Attributes::new([(attribute, name), ("cpu.mode", "user")]);
            let value = Point::Number(seconds);
            let metric = &CGROUP_CPU_THROTTLED_TIME;
            Series { metric, attributes, start: at(100), value, is_evicted }
        };
        let container = of_cgroup("container.id", "c0ffee", 3.0, false);
        let first = view(110, vec![container, of_cgroup("systemd.unit", EVICTED, 1.0, true)]);
        let second = view(120, vec![of_cgroup("systemd.unit", EVICTED, 4.5, true)]);
        assert_eq!(numbers(Some(&first), &second, Temporality::Delta), [of(EVICTED, 110, 0.5)]);
    }

    #[test]
    fn process_that_is_called_like_evicted_groups_is_none_of_them() {
        let of_unit = |name, seconds| {
            let attributes = [
                ("process.executable.name", name),
                ("systemd.unit", "a.service"),
                ("cpu.mode", "user"),
            ];
            Series { attributes: Attributes::new(attributes), ..cpu(name, 100, seconds) }
        };
        let first = view(110, vec![of_unit("a", 3.0), of_unit(EVICTED, 7.0), evicted(0.0)]);
        let second = view(120, vec![of_unit(EVICTED, 8.0), evicted(3.5)]);
        assert_eq!(
            numbers(Some(&first), &second, Temporality::Delta),
            [of(EVICTED, 110, 1.0), of(EVICTED, 110, 0.5)]
        );
    }

    #[test]
    fn lowmemory_has_deltas_of_histograms_alone() {
        let first = view(110, vec![cpu("a", 100, 3.0), waits("a", &[1, 2])]);
        let second = view(120, vec![cpu("a", 100, 4.0), waits("a", &[1, 5])]);
        assert_eq!(numbers(Some(&first), &second, Temporality::LowMemory), [of("a", 100, 4.0)]);
        for temporality in [Temporality::LowMemory, Temporality::Delta] {
            let grown = growth(Some(&first), at(100), &second, temporality);
            let Point::Histogram(grown) = &grown[1].value else { panic!("no histogram") };
            assert_eq!((&grown.slots[..], grown.sum_ns), (&[0, 3][..], 3000));
        }
    }

    #[test]
    fn gauges_and_what_goes_up_and_down_stay_as_they_are() {
        let cpus = |count| series(&SYSTEM_CPU_LOGICAL_COUNT, "", 100, Point::Number(count));
        let [first, second] = [(110, 8.0), (120, 8.0)].map(|(time, it)| view(time, vec![cpus(it)]));
        assert_eq!(numbers(Some(&first), &second, Temporality::Delta), [of("", 100, 8.0)]);
    }

    #[test]
    fn requests_that_wait_stay_as_they_are() {
        let deltas = Deltas::new(at(100));
        let advance = |time, seconds| {
            let view = Arc::new(view(time, vec![cpu("a", 100, seconds)]));
            deltas.advance(&view, Temporality::Delta, Resource::default(), 1 << 20)
        };
        assert!(advance(110, 1.0));
        let first = deltas.first().unwrap();
        assert_eq!(first.points, 1);
        assert!(!advance(110, 1.0), "the same view");
        deltas.remove_first();
        assert!(deltas.first().is_none());
        assert!(advance(120, 4.0));
        // One waits, and another would have come.
        let last = view(130, vec![cpu("a", 100, 4.25)]);
        assert_eq!(deltas.abandon(&last, Temporality::Delta), 2);
        assert_eq!(deltas.reset(), 0);
    }
}
