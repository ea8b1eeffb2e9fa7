//! What a probe could not measure, by reason.

use crate::{
    metric::AGENT_LOST,
    sample::{Attributes, Owner, Sample, Value},
};

/// The attributes of a probe's losses.
pub(super) struct Ledger(Vec<Attributes>);

impl Ledger {
    /// The ledger of a probe with these reasons.
    pub(super) fn new(probe: &'static str, reasons: &[&'static str]) -> Self {
        let attributes = |reason: &&'static str| {
            Attributes::new([("monitor.probe", probe), ("monitor.loss.reason", *reason)])
        };
        Self(reasons.iter().map(attributes).collect())
    }

    /// Calls `sink` with what was lost in a tick, by the places of the reasons.
    pub(super) fn decode(&self, counts: &[u64], sink: &mut dyn FnMut(Sample<'_>)) {
        for (attributes, count) in self.0.iter().zip(counts) {
            let value = Value::Increase(*count);
            sink(Sample { metric: &AGENT_LOST, owner: Owner::Host, attributes, value });
        }
    }
}
