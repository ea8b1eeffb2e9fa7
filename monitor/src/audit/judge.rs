//! Whether what was measured agrees with what the kernel counted. Arithmetic only.

use std::collections::BTreeMap;

use super::comparison::{Comparison, TOLERANCE};
use crate::view::AuditResult;

/// What a counter of the kernel was when banks were flipped: read before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flip {
    pub(super) before: u64,
    pub(super) after: u64,
}

/// What one comparison comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// What the kernel counted.
    pub(super) reference: u64,
    pub(super) result: AuditResult,
}

type Values = Option<BTreeMap<String, u64>>;

impl Flip {
    /// The sums of several counters at the flips of both ends of a round; nothing where there are none.
    pub(super) fn sums(flips: impl IntoIterator<Item = [Self; 2]>) -> Option<[Self; 2]> {
        let add = |one: Self, other: Self| Self {
            before: one.before + other.before,
            after: one.after + other.after,
        };
        flips.into_iter().reduce(|sums, more| [add(sums[0], more[0]), add(sums[1], more[1])])
    }

    /// The flips at both ends of a round, of all subjects that were there all the time.
    pub(super) fn both<'a>(
        (begin_before, begin_after): (&'a Values, &'a Values),
        (end_before, end_after): (&'a Values, &'a Values),
    ) -> impl Iterator<Item = (&'a str, [Self; 2])> {
        let value = |values: &Values, subject: &str| values.as_ref()?.get(subject).copied();
        begin_before.iter().flatten().filter_map(move |(subject, &before)| {
            let begin = Self { before, after: value(begin_after, subject)? };
            let end =
                Self { before: value(end_before, subject)?, after: value(end_after, subject)? };
            Some((subject.as_str(), [begin, end]))
        })
    }
}

/// Compares a growth with that of the kernel's counter between two flips; nothing when that was reset.
pub(super) fn judge(
    comparison: &Comparison,
    measured: u64,
    [begin, end]: [Flip; 2],
) -> Option<Judgement> {
    let reference = end.after.checked_sub(begin.after)?;
    // What it grew by between the flips is at least, and at most:
    let least = end.before.saturating_sub(begin.after) as f64;
    let most = end.after.saturating_sub(begin.before) as f64;
    let (low, high) = comparison.bounds;
    let high = high.unwrap_or(f64::INFINITY);
    let slack = comparison.slack as f64;
    let growth = measured as f64;
    let result = if growth.max(low * most) <= slack {
        AuditResult::TooLittle
    } else if growth < least * low * (1.0 - TOLERANCE) - slack
        || growth > most * high * (1.0 + TOLERANCE) + slack
    {
        AuditResult::Deviates
    } else {
        AuditResult::Agrees
    };
    Some(Judgement { reference, result })
}
