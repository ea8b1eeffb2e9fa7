//! Host histograms that never run ahead of the groups they are the sum of.
//!
//! A thread that exits hands on what it recorded when it has been reaped, which may be a tick after
//! the host counted it. Until then the host's histogram holds back as many durations of the same
//! coarse bucket, so that in every view the groups add up to the host, bucket by bucket. All that is
//! published was measured, and all that was measured is published in the end.

use monitor_common::hist::{COARSE_SHIFT, coarse};

use super::add_slots;
use crate::{
    sample::Durations,
    view::{Histogram, Point},
};

/// One host histogram.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// Measured and not yet published, at scale 3.
    held: Vec<u64>,
    /// Published, at scale 3.
    published: Vec<u64>,
    /// What groups were given, in nanoseconds.
    sum_ns: u128,
    /// What groups were given and could not be published yet, by coarse slot.
    owed: Vec<u64>,
}

impl Settled {
    /// Adds what the host measured.
    pub(super) fn record(&mut self, durations: &Durations<'_>) {
        debug_assert_eq!(durations.shift, 0, "the host measures at scale 3");
        add_slots(&mut self.held, durations);
    }

    /// Adds what a group was given.
    pub(super) fn settle(&mut self, durations: &Durations<'_>) {
        debug_assert_eq!(durations.shift, COARSE_SHIFT, "groups have the scale of threads");
        self.sum_ns += u128::from(durations.sum_ns);
        add_slots(&mut self.owed, durations);
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
    }

    /// What is published.
    pub(super) fn point(&self) -> Point {
        let slots = self.published.clone();
        Point::Histogram(Histogram { shift: 0, sum_ns: self.sum_ns, slots })
    }
}
