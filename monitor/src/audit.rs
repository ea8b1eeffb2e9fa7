//! Self-audit: what the probes count, compared with the kernel's own counters of the same thing.
//!
//! A wrong offset, constant or flag makes a probe count nothing, or something else, without an error.
//! About once a minute the growth of each metric in [`COMPARISONS`] is compared with the growth of an
//! independent counter on the same host. What deviates in [`ROUNDS`] rounds in a row makes its probe
//! degraded, with both figures.
//!
//! No clock takes part: the counters are read before and after the banks are flipped, so what they
//! were at the flip lies between the two readings, however long it took.

mod comparison;
mod counters;
mod judge;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use self::{
    comparison::COMPARISONS,
    counters::{Counters, File, Reading},
    judge::{Flip, Judgement, judge},
};
use crate::{
    host::HostPaths,
    view::{AuditResult, AuditRow, Series},
};

/// Time a round takes.
const INTERVAL: Duration = Duration::from_secs(60);
/// Time the first one takes, so that a daemon that was just started has a result soon.
const FIRST: Duration = Duration::from_secs(10);
/// After how many rounds in a row a deviation makes a probe degraded.
const ROUNDS: u32 = 3;

/// Compares, and remembers what deviated.
pub struct Audit {
    counters: Counters,
    /// When the next round is due.
    due: Instant,
    /// The counters just before the banks are flipped, in a tick that ends a round.
    before: Option<Reading>,
    /// The counters just after.
    after: Option<Reading>,
    last: Option<Totals>,
    rows: Vec<AuditRow>,
}

/// All totals at one flip.
struct Totals {
    before: Reading,
    after: Reading,
    /// What was measured until then by comparison, and in it by subject; nothing where the probe did not
    /// run.
    measured: Vec<Option<BTreeMap<String, u64>>>,
}

impl Audit {
    /// An audit of the host that is seen at `paths`. Its first round begins with the next tick.
    pub fn new(paths: &HostPaths) -> Self {
        Self {
            counters: Counters::new(paths),
            due: Instant::now(),
            before: None,
            after: None,
            last: None,
            rows: Vec::new(),
        }
    }

    /// To be called before the banks are flipped. Reads the kernel's counters when a round ends.
    pub fn before_flip(&mut self, now: Instant) {
        self.after = None;
        self.before = (now >= self.due).then(|| {
            self.counters.find_namespaces();
            self.counters.read()
        });
        if self.before.is_some() {
            self.due = now + if self.last.is_some() { INTERVAL } else { FIRST };
        }
    }

    /// To be called as soon as no program writes to the old banks.
    pub fn after_flip(&mut self) {
        self.after = self.before.is_some().then(|| self.counters.read());
    }

    /// Ends the round with the first tick from `time` on, however long it lasts.
    pub fn end_round_at(&mut self, time: Instant) {
        self.due = time;
    }

    /// Compares, if the tick ends a round. `series` are all as of the tick; `runs` says
    /// whether a probe runs, with one of some hooks attached if there are any.
    pub fn compare(&mut self, series: &[Series], runs: impl Fn(&str, &[&str]) -> bool) {
        let (Some(before), Some(after)) = (self.before.take(), self.after.take()) else { return };
        let measured = COMPARISONS
            .iter()
            .map(|comparison| {
                runs(comparison.probe, comparison.hooks).then(|| comparison.measured(series))
            })
            .collect();
        let now = Totals { before, after, measured };
        if let Some(last) = self.last.replace(now) {
            let rows = self.rows_since(&last);
            for row in &rows {
                report(row, self.row(row).map_or(0, |old| old.deviating_rounds));
            }
            self.rows = rows;
        }
    }

    /// Forgets the results of a probe that has ended, and leaves it out of the round under way.
    pub fn forget(&mut self, probe: &str) {
        self.rows.retain(|row| row.probe != probe);
        let Some(last) = &mut self.last else { return };
        for (comparison, measured) in COMPARISONS.iter().zip(&mut last.measured) {
            if comparison.probe == probe {
                *measured = None;
            }
        }
    }

    /// The result of the last round.
    pub fn rows(&self) -> &[AuditRow] {
        &self.rows
    }

    /// Why comparisons are left out, in sentences.
    pub fn unavailable(&self) -> impl Iterator<Item = &str> {
        self.counters.unavailable()
    }

    /// What makes a probe degraded: the first of its deviations that lasted.
    pub fn deviation(&self, probe: &str) -> Option<String> {
        let row = self.rows.iter().find(|row| row.probe == probe && is_lasting(row))?;
        Some(format!("audit: {row}"))
    }

    /// One row for each subject of each comparison whose counter can be read.
    fn rows_since(&self, last: &Totals) -> Vec<AuditRow> {
        let mut rows = Vec::new();
        let Some(now) = &self.last else { return rows };
        for (place, comparison) in COMPARISONS.iter().enumerate() {
            let flips = Flip::both(
                (&last.before[place], &last.after[place]),
                (&now.before[place], &now.after[place]),
            );
            let flips: Vec<_> = match comparison.counter.file {
                // What is measured is the sum over all network namespaces.
                File::Network => Flip::sums(flips.map(|(_, flips)| flips))
                    .map(|sums| ("", sums))
                    .into_iter()
                    .collect(),
                _ => flips.collect(),
            };
            for (subject, flips) in flips {
                let measured = |totals: &Totals| {
                    let sums = totals.measured[place].as_ref()?;
                    Some(sums.get(subject).copied().unwrap_or_default())
                };
                let (Some(first), Some(total)) = (measured(last), measured(now)) else { continue };
                // A series that was reset counts from zero again.
                let Some(measured) = total.checked_sub(first) else { continue };
                let Some(Judgement { reference, result }) = judge(comparison, measured, flips)
                else {
                    continue;
                };
                let mut row = AuditRow {
                    probe: comparison.probe,
                    counter: comparison.name,
                    device: subject.to_owned(),
                    measured,
                    reference,
                    source: comparison.counter.file.path(),
                    at_least: comparison.bounds.0,
                    at_most: comparison.bounds.1,
                    result,
                    deviating_rounds: 0,
                };
                let before = self.row(&row).map_or(0, |old| old.deviating_rounds);
                if measured == 0 && reference == 0 && before == 0 {
                    continue;
                }
                row.deviating_rounds = match result {
                    AuditResult::Deviates => before + 1,
                    AuditResult::Agrees => 0,
                    AuditResult::TooLittle => before,
                };
                rows.push(row);
            }
        }
        rows
    }

    /// The row of the round before that is about the same.
    fn row(&self, new: &AuditRow) -> Option<&AuditRow> {
        self.rows.iter().find(|old| {
            (old.probe, old.counter, &old.device) == (new.probe, new.counter, &new.device)
        })
    }
}

fn is_lasting(row: &AuditRow) -> bool {
    row.deviating_rounds >= ROUNDS
}

/// Logs once when a deviation has lasted, and once when it is over.
fn report(row: &AuditRow, rounds_before: u32) {
    if is_lasting(row) && rounds_before < ROUNDS {
        tracing::error!(probe = row.probe, "audit: {row}; report it with the output of `uname -r`");
    } else if row.deviating_rounds == 0 && rounds_before >= ROUNDS {
        tracing::info!(probe = row.probe, "audit: {} agree again", row.counter);
    }
}
