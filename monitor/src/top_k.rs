//! Top-K: the keys that cost most, so that there are few series of what there may be many of.

use std::{
    collections::{HashMap, hash_map},
    hash::Hash,
    time::Duration,
};

/// Name of the series of all keys that are not among the top K.
pub(crate) const OTHER: &str = "(other)";

/// Name of the series of all that evicted keys counted. It jumps at each eviction, so it is nobody's activity.
pub(crate) const EVICTED: &str = "(evicted)";

/// Costs halve in this time, so that past activity does not keep a key among the top K.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// A key must cost this much more than the cheapest one to replace it: keys of the same cost must not take turns.
const MARGIN: f64 = 2.0;

/// The share of a cost that is left after some time.
pub(crate) fn decay(elapsed: Duration) -> f64 {
    0.5f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64())
}

/// A value with the cost of its key.
#[derive(Debug)]
pub(crate) struct Ranked<V> {
    pub(crate) value: V,
    pub(crate) cost: f64,
}

/// The top K with their values. The caller bounds their number.
#[derive(Debug)]
pub(crate) struct TopK<K, V>(HashMap<K, Ranked<V>>);

impl<K: Clone + Eq + Hash, V> TopK<K, V> {
    /// No keys.
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Number of keys.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the value and cost of `key`.
    pub(crate) fn get(&self, key: &K) -> Option<&Ranked<V>> {
        self.0.get(key)
    }

    /// Like [`Self::get`], mutable.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut Ranked<V>> {
        self.0.get_mut(key)
    }

    /// Adds `key`.
    pub(crate) fn insert(&mut self, key: K, ranked: Ranked<V>) {
        self.0.insert(key, ranked);
    }

    /// Returns all keys with their values and costs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Ranked<V>)> {
        self.0.iter()
    }

    /// Returns all values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().map(|ranked| &ranked.value)
    }

    /// Like [`Self::values`], mutable.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.values_mut().map(|ranked| &mut ranked.value)
    }

    /// Removes all keys but those whose value is to stay.
    pub(crate) fn retain(&mut self, mut stays: impl FnMut(&mut V) -> bool) {
        self.0.retain(|_, ranked| stays(&mut ranked.value));
    }

    /// Removes and returns all keys.
    pub(crate) fn drain(&mut self) -> hash_map::Drain<'_, K, Ranked<V>> {
        self.0.drain()
    }

    /// Multiplies all costs by `factor`, see [`decay`].
    pub(crate) fn scale(&mut self, factor: f64) {
        self.0.values_mut().for_each(|ranked| ranked.cost *= factor);
    }

    /// Removes and returns the cheapest key.
    pub(crate) fn remove_cheapest(&mut self) -> Option<(K, Ranked<V>)> {
        self.remove_cheaper(f64::INFINITY)
    }

    /// Removes and returns the cheapest key for another that costs `cost`; none where the other does not cost far more.
    pub(crate) fn remove_cheaper(&mut self, cost: f64) -> Option<(K, Ranked<V>)> {
        let cheapest = self.0.iter().min_by(|(_, a), (_, b)| a.cost.total_cmp(&b.cost));
        let (key, ranked) = cheapest?;
        if cost <= MARGIN * ranked.cost {
            return None;
        }
        let key = key.clone();
        self.0.remove_entry(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn top(costs: &[(char, f64)]) -> TopK<char, ()> {
        let mut top = TopK::new();
        costs.iter().for_each(|(key, cost)| top.insert(*key, Ranked { value: (), cost: *cost }));
        top
    }

    #[test]
    fn only_a_key_that_costs_far_more_replaces_the_cheapest() {
        let mut top = top(&[('a', 3.0), ('b', 1.0), ('c', 2.0)]);
        assert!(top.remove_cheaper(2.0).is_none());
        assert_eq!(top.remove_cheaper(2.1).map(|(key, _)| key), Some('b'));
        assert_eq!(top.remove_cheapest().map(|(key, _)| key), Some('c'));
        assert_eq!(top.len(), 1);
    }

    #[test]
    fn costs_decay() {
        let mut top = top(&[('a', 8.0)]);
        top.scale(decay(Duration::from_secs(120)));
        assert_eq!(top.get(&'a').map(|ranked| ranked.cost), Some(2.0));
    }
}
