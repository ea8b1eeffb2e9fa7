//! Examples of what histograms count: of each tick that had slow ones the slowest.

use std::{sync::Arc, time::SystemTime};

use crate::view::Exemplar;

/// Times of the examples that were shown. A receiver refuses one that is older than the one before it,
/// as there would be after the wall clock was set back, until the clock has caught up.
#[derive(Debug, Default)]
pub(super) struct Exemplars {
    /// The latest of the ticks before.
    shown: Option<SystemTime>,
    /// The latest of the tick under way too.
    latest: Option<SystemTime>,
}

impl Exemplars {
    /// Whether an example may be shown.
    pub(super) fn take(&mut self, exemplar: &Exemplar) -> bool {
        let time = Some(exemplar.time);
        self.latest = self.latest.max(time);
        time >= self.shown
    }

    /// Ends a tick.
    pub(super) fn end_tick(&mut self) {
        self.shown = self.latest;
    }
}

/// Has a series show an example, unless it shows a slower one of the same tick.
pub(super) fn show(shown: &mut Option<Arc<Exemplar>>, exemplar: &Arc<Exemplar>) {
    let is_better =
        |shown: &Arc<Exemplar>| shown.tick == exemplar.tick && shown.latency >= exemplar.latency;
    if !shown.as_ref().is_some_and(is_better) {
        *shown = Some(exemplar.clone());
    }
}
