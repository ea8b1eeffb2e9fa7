//! How many connections are open: the running sum of the changes that programs record. No input or output
//! here.

use std::{collections::HashMap, hash::Hash};

use monitor_common::tcp::SIDES;

/// Open connections by side, of those that have any.
pub(super) struct Active<K> {
    open: HashMap<K, [u64; SIDES]>,
    /// The sum of these.
    sum: [u64; SIDES],
    /// Of what found its table full, at the start or at the end.
    rest: [i64; SIDES],
}

impl<K: Copy + Eq + Hash> Active<K> {
    /// None is open.
    pub(super) fn new() -> Self {
        Self { open: HashMap::new(), sum: [0; SIDES], rest: [0; SIDES] }
    }

    /// Adds what changed in a tick; `key` is none for what found the table full.
    pub(super) fn change(&mut self, key: Option<K>, change: [i64; SIDES]) {
        if change == [0; SIDES] {
            return;
        }
        let mut open = key.map_or([0; SIDES], |key| self.open.remove(&key).unwrap_or_default());
        for (side, change) in change.into_iter().enumerate() {
            let sum = if key.is_some() { open[side] as i64 + change } else { 0 };
            self.sum[side] = self.sum[side] - open[side] + sum.max(0) as u64;
            open[side] = sum.max(0) as u64;
            // What ended here and did not begin here began when the table was full.
            self.rest[side] += if key.is_some() { sum.min(0) } else { change };
        }
        if let Some(key) = key.filter(|_| open != [0; SIDES]) {
            self.open.insert(key, open);
        }
    }

    /// Open connections of one.
    pub(super) fn of(&self, key: &K) -> [u64; SIDES] {
        self.open.get(key).copied().unwrap_or_default()
    }

    /// Open connections of each that has any.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&K, &[u64; SIDES])> {
        self.open.iter()
    }

    /// Open connections of all that did not find the table full.
    pub(super) fn sum(&self) -> [u64; SIDES] {
        self.sum
    }

    /// Open connections of those that found the table full.
    pub(super) fn rest(&self) -> [u64; SIDES] {
        self.rest.map(|open| open.max(0) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_add_up_and_what_ends_is_forgotten() {
        let mut active = Active::new();
        active.change(Some('a'), [2, 0]);
        active.change(Some('a'), [-1, 1]);
        active.change(Some('b'), [1, 0]);
        active.change(Some('b'), [-1, 0]);
        assert_eq!((active.of(&'a'), active.of(&'b')), ([1, 1], [0, 0]));
        assert_eq!((active.iter().count(), active.sum()), (1, [1, 1]));
    }

    #[test]
    fn a_full_table_changes_no_sum() {
        let mut active = Active::new();
        active.change(None, [3, 0]);
        active.change(Some('a'), [-1, 0]);
        assert_eq!((active.of(&'a'), active.rest()), ([0, 0], [2, 0]));
        active.change(Some('a'), [1, 0]);
        active.change(None, [-4, 0]);
        assert_eq!((active.of(&'a'), active.rest()), ([1, 0], [0, 0]));
    }
}
