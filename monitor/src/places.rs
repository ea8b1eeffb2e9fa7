//! Who has one of a few places: those that cost most. So the series of what there may be many of stay
//! few.

use std::{
    collections::{HashMap, hash_map},
    hash::Hash,
    time::Duration,
};

/// The name of all that have no place of their own.
pub(crate) const OTHER: &str = "(other)";

/// The name of what was counted by those that had a place and lost it. It is nobody's activity: what it
/// counted jumps when another comes to it.
pub(crate) const RETIRED: &str = "(retired)";

/// Costs halve in this time, so that what was long ago keeps no place.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// Who costs this much more than another gets its place: those that cost the same must not take turns.
const MARGIN: f64 = 2.0;

/// How much of a cost counts after some time.
pub(crate) fn fading(elapsed: Duration) -> f64 {
    0.5f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64())
}

/// A place.
#[derive(Debug)]
pub(crate) struct Place<V> {
    /// What its holder has there.
    pub(crate) value: V,
    /// What its holder costs.
    pub(crate) cost: f64,
}

/// Places by who has them.
#[derive(Debug)]
pub(crate) struct Places<K, V>(HashMap<K, Place<V>>);

impl<K: Clone + Eq + Hash, V> Places<K, V> {
    /// None is taken.
    pub(crate) fn new() -> Self {
        Self(HashMap::new())
    }

    /// How many are taken.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The place of `key`.
    pub(crate) fn get(&self, key: &K) -> Option<&Place<V>> {
        self.0.get(key)
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut Place<V>> {
        self.0.get_mut(key)
    }

    /// Gives `key` a place.
    pub(crate) fn insert(&mut self, key: K, place: Place<V>) {
        self.0.insert(key, place);
    }

    /// Who has which place.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Place<V>)> {
        self.0.iter()
    }

    /// What is in all places.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values().map(|place| &place.value)
    }

    /// The same, to be changed.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.0.values_mut().map(|place| &mut place.value)
    }

    /// Takes all places away but those whose value is to stay.
    pub(crate) fn retain(&mut self, mut stays: impl FnMut(&mut V) -> bool) {
        self.0.retain(|_, place| stays(&mut place.value));
    }

    /// Takes all places away.
    pub(crate) fn drain(&mut self) -> hash_map::Drain<'_, K, Place<V>> {
        self.0.drain()
    }

    /// Lets costs fade, as [`fading`] says.
    pub(crate) fn fade(&mut self, keep: f64) {
        self.0.values_mut().for_each(|place| place.cost *= keep);
    }

    /// Takes the place away of who costs least.
    pub(crate) fn take_cheapest(&mut self) -> Option<(K, Place<V>)> {
        self.take_cheaper(f64::INFINITY)
    }

    /// Takes the place away of who costs least, for somebody who costs as much as that; nobody's when
    /// that is not far more.
    pub(crate) fn take_cheaper(&mut self, cost: f64) -> Option<(K, Place<V>)> {
        let cheapest = self.0.iter().min_by(|(_, a), (_, b)| a.cost.total_cmp(&b.cost));
        let (key, place) = cheapest?;
        if cost <= MARGIN * place.cost {
            return None;
        }
        let key = key.clone();
        self.0.remove_entry(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(costs: &[(char, f64)]) -> Places<char, ()> {
        let mut places = Places::new();
        costs.iter().for_each(|(key, cost)| places.insert(*key, Place { value: (), cost: *cost }));
        places
    }

    #[test]
    fn only_who_costs_far_more_gets_the_place_of_the_cheapest() {
        let mut places = places(&[('a', 3.0), ('b', 1.0), ('c', 2.0)]);
        assert!(places.take_cheaper(2.0).is_none());
        assert_eq!(places.take_cheaper(2.1).map(|(key, _)| key), Some('b'));
        assert_eq!(places.take_cheapest().map(|(key, _)| key), Some('c'));
        assert_eq!(places.len(), 1);
    }

    #[test]
    fn costs_fade() {
        let mut places = places(&[('a', 8.0)]);
        places.fade(fading(Duration::from_secs(120)));
        assert_eq!(places.get(&'a').map(|place| place.cost), Some(2.0));
    }
}
