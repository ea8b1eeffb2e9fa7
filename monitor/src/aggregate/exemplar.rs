//! Examples of what histograms count: of each tick that had slow ones the slowest.

use std::sync::Arc;

use crate::view::Exemplar;

/// Has a series show an example, unless it shows a slower one of the same tick.
pub(super) fn show(shown: &mut Option<Arc<Exemplar>>, exemplar: &Arc<Exemplar>) {
    let is_better =
        |shown: &Arc<Exemplar>| shown.tick == exemplar.tick && shown.latency >= exemplar.latency;
    if !shown.as_ref().is_some_and(is_better) {
        *shown = Some(exemplar.clone());
    }
}
