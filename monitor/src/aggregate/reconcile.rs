//! Host histograms that never run ahead of the groups they are the sum of.
//!
//! A thread that exits hands on what it recorded when it has been reaped, which may be a tick after
//! the host counted it. Until then the host's histogram holds back as many durations of the same
//! coarse bucket, so that in every view the groups add up to the host, bucket by bucket. All that is
//! published was measured. What no group was ever given, as the end of a thread was not seen, stays
//! held back, and is counted as lost once it cannot be with threads that were about to end.

use std::{iter, sync::Arc, time::SystemTime};

use monitor_common::hist::{COARSE_SHIFT, coarse};

use super::{add_slots, exemplar};
use crate::{
    sample::Durations,
    view::{Exemplar, Histogram, Point},
};

/// One host histogram.
#[derive(Debug)]
pub(super) struct Reconciled {
    /// Since when it counts.
    pub(super) start: SystemTime,
    /// Measured and not yet published, at scale 3.
    held: Vec<u64>,
    /// Published, at scale 3.
    published: Vec<u64>,
    /// What groups were given, in nanoseconds.
    sum_ns: u128,
    /// What groups were given and could not be published yet, by coarse slot.
    owed: Vec<u64>,
    /// What was held back at the end of the tick before, by coarse slot.
    before: Vec<u64>,
    /// What ended threads left behind in this tick, by coarse slot.
    left_behind: Vec<u64>,
    /// The least of `before` that no ended thread can have left behind since, in this round of [`PATIENCE`]
    /// ticks.
    least: Option<u64>,
    ticks: u32,
    /// Durations that no group was given.
    lost: u64,
    /// How many of them were lost before `start`.
    lost_before: u64,
    /// One of those that were measured.
    exemplar: Option<Arc<Exemplar>>,
}

/// How many ticks a thread may take to be reaped after its end, before what it had is taken for lost.
const PATIENCE: u32 = 60;

impl Reconciled {
    /// Nothing measured yet.
    pub(super) fn new(start: SystemTime) -> Self {
        Self {
            start,
            held: Vec::new(),
            published: Vec::new(),
            sum_ns: 0,
            owed: Vec::new(),
            before: Vec::new(),
            left_behind: Vec::new(),
            least: None,
            ticks: 0,
            lost: 0,
            lost_before: 0,
            exemplar: None,
        }
    }

    /// Adds what the host measured.
    pub(super) fn record(&mut self, durations: &Durations<'_>) {
        debug_assert_eq!(durations.shift, 0, "the host measures at scale 3");
        add_slots(&mut self.held, durations);
    }

    /// Adds what a group was given.
    pub(super) fn reconcile(&mut self, durations: &Durations<'_>) {
        debug_assert_eq!(durations.shift, COARSE_SHIFT, "groups have the scale of threads");
        self.sum_ns += durations.sum_ns;
        add_slots(&mut self.owed, durations);
        if durations.left_behind {
            add_slots(&mut self.left_behind, durations);
        }
    }

    /// Shows an example of what it counts.
    pub(super) fn exemplify(&mut self, exemplar: &Arc<Exemplar>) {
        exemplar::show(&mut self.exemplar, exemplar);
    }

    /// Publishes what has been both measured and given to a group.
    pub(super) fn publish(&mut self) {
        self.published.resize(self.held.len(), 0);
        for (slot, (held, published)) in self.held.iter_mut().zip(&mut self.published).enumerate() {
            let Some(owed) = self.owed.get_mut(coarse(slot)) else { continue };
            let moved = (*held).min(*owed);
            *held -= moved;
            *owed -= moved;
            *published += moved;
        }
        self.look_for_losses();
    }

    /// Notes what is held back for longer than threads take to be reaped. Where threads end all the time
    /// something is always with one of them, and is nevertheless not lost.
    fn look_for_losses(&mut self) {
        let left_behind = self.left_behind.drain(..).chain(iter::repeat(0));
        let missing = self.before.drain(..).zip(left_behind);
        let missing = missing.map(|(held, left)| held.saturating_sub(left)).sum();
        // What was held back at the end of a round belongs to that round; before the first there is nothing.
        if self.ticks > 0 {
            self.least = Some(self.least.map_or(missing, |least| least.min(missing)));
        }
        let by_coarse_slot = self.held.chunks(1 << COARSE_SHIFT);
        self.before.extend(by_coarse_slot.map(|slots| slots.iter().sum::<u64>()));
        self.ticks += 1;
        if self.ticks == PATIENCE {
            self.ticks = 0;
            // What comes late after all is published all the same, and was lost for a while.
            self.lost = self.lost.max(self.least.take().unwrap_or(0));
        }
    }

    /// Counts from zero again, since `since`, as the groups do. What is held back is published when a
    /// group is given it.
    pub(super) fn restart(&mut self, since: SystemTime) {
        self.start = since;
        self.published.clear();
        self.owed.clear();
        self.sum_ns = 0;
        self.lost_before = self.lost;
        self.exemplar = None;
    }

    /// Durations that were measured and that no group was given for a long time.
    pub(super) fn lost(&self) -> u64 {
        self.lost - self.lost_before
    }

    /// What is published.
    pub(super) fn point(&self) -> Point {
        let slots = self.published.clone();
        let exemplar = self.exemplar.clone();
        Point::Histogram(Histogram { shift: 0, sum_ns: self.sum_ns, slots, exemplar })
    }
}
