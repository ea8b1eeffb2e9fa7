//! What stays exported for a while after its eviction, the oldest first.

use std::{collections::VecDeque, mem, time::Duration};

/// How long the series of an evicted group or service are exported: two scrape intervals of a minute. So every receiver has
/// their last values, and what goes to `(evicted)` was sent before.
pub(super) const LINGER: Duration = Duration::from_secs(120);

/// Evicted items, each with the time that it has left.
pub(super) struct Lingering<T>(VecDeque<(T, Duration)>);

impl<T> Lingering<T> {
    /// Nothing.
    pub(super) fn new() -> Self {
        Self(VecDeque::new())
    }

    /// Adds an item that was just evicted.
    pub(super) fn push(&mut self, item: T) {
        self.0.push_back((item, LINGER));
    }

    /// Whether nothing lingers.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All items.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|(item, _)| item)
    }

    /// The same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().map(|(item, _)| item)
    }

    /// Removes the first item that is wanted, and returns it.
    pub(super) fn take(&mut self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        let place = self.iter().position(is_wanted)?;
        self.0.remove(place).map(|(item, _)| item)
    }

    /// Removes all items but those that stay.
    pub(super) fn retain(&mut self, stays: impl Fn(&T) -> bool) {
        self.0.retain(|(item, _)| stays(item));
    }

    /// Lets time pass. Returns the items that have none left.
    pub(super) fn elapse(&mut self, elapsed: Duration) -> Vec<T> {
        self.0.iter_mut().for_each(|(_, left)| *left = left.saturating_sub(elapsed));
        let ended = self.0.iter().take_while(|(_, left)| left.is_zero()).count();
        self.remove_oldest(ended)
    }

    /// Returns the oldest items beyond `most`.
    pub(super) fn limit(&mut self, most: usize) -> Vec<T> {
        self.remove_oldest(self.0.len().saturating_sub(most))
    }

    /// Returns all items.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        mem::take(&mut self.0).into_iter().map(|(item, _)| item)
    }

    fn remove_oldest(&mut self, count: usize) -> Vec<T> {
        self.0.drain(..count).map(|(item, _)| item).collect()
    }
}
