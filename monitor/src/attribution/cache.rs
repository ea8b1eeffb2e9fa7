//! A cache of bounded size.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

/// Keeps at least the `capacity / 2` keys that were used last, and at most `capacity`.
///
/// There are two generations. A key that is used moves to the young one; when that is full it
/// becomes the old one, and what was still in the old one, unused since, is evicted.
#[derive(Debug)]
pub(super) struct Cache<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    half: usize,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// An empty cache. It grows with use: `capacity` is a limit, not a reservation.
    pub(super) fn new(capacity: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half: (capacity / 2).max(1) }
    }

    /// What is known of `key`.
    pub(super) fn get<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// Remembers `value`, in the place of what was known of `key`.
    pub(super) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        self.young.insert(key, value);
        if self.young.len() >= self.half {
            self.old.clear();
            std::mem::swap(&mut self.young, &mut self.old);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }

    /// How many entries there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_exceeds_its_capacity() {
        let mut cache = Cache::new(100);
        for key in 0..1000 {
            cache.insert(key, key);
            assert!(cache.len() <= 100);
        }
        assert!(cache.len() >= 50);
        assert_eq!(cache.get(&999), Some(999));
        assert_eq!(cache.get(&0), None);
    }

    #[test]
    fn what_is_used_stays() {
        let mut cache = Cache::new(100);
        cache.insert(-1, 7);
        for key in 0..1000 {
            cache.insert(key, key);
            assert_eq!(cache.get(&-1), Some(7), "after {key} others");
        }
    }

    #[test]
    fn the_working_set_of_half_the_capacity_is_never_evicted() {
        let mut cache = Cache::new(100);
        for round in 0..20 {
            for key in 0..50 {
                match cache.get(&key) {
                    Some(_) => {}
                    None if round == 0 => cache.insert(key, ()),
                    None => panic!("{key} was evicted in round {round}"),
                }
            }
        }
    }

    #[test]
    fn the_newest_value_wins() {
        let mut cache = Cache::new(4);
        for value in 0..10 {
            cache.insert("key", value);
            assert_eq!(cache.get("key"), Some(value));
            assert_eq!(cache.len(), 1);
        }
    }
}
