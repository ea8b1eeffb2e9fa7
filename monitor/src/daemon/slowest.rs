//! The slowest of many.

use std::{cmp::Reverse, time::Duration};

/// Keeps the slowest of what is added: when nearly all is slow, the rest says nothing new.
pub(super) struct Slowest<T> {
    most: usize,
    all: Vec<(Duration, T)>,
}

impl<T> Slowest<T> {
    /// Nothing yet, and at most so many in the end.
    pub(super) fn new(most: usize) -> Self {
        Self { most, all: Vec::new() }
    }

    /// Adds something that took so long.
    pub(super) fn add(&mut self, latency: Duration, of: T) {
        self.all.push((latency, of));
    }

    /// The slowest, in the order in which they were added, and how many there are beside them.
    pub(super) fn split(self) -> (Vec<T>, u64) {
        let left_out = self.all.len().saturating_sub(self.most);
        let mut numbered: Vec<_> = self.all.into_iter().enumerate().collect();
        numbered.sort_by_key(|(_, (latency, _))| Reverse(*latency));
        numbered.truncate(self.most);
        numbered.sort_by_key(|(number, _)| *number);
        (numbered.into_iter().map(|(_, (_, of))| of).collect(), left_out as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slowest_stay_in_their_order() {
        let split = |most| {
            let mut slowest = Slowest::new(most);
            for ms in [3, 9, 1, 7, 5] {
                slowest.add(Duration::from_millis(ms), ms);
            }
            slowest.split()
        };
        assert_eq!(split(0), (vec![], 5));
        assert_eq!(split(3), (vec![9, 7, 5], 2));
        assert_eq!(split(4), (vec![3, 9, 7, 5], 1));
        assert_eq!(split(9), (vec![3, 9, 1, 7, 5], 0));
    }
}
