//! From the slots of a histogram as programs keep it, most of which are 0, to durations.
//!
//! Programs add up nanoseconds in 64 bits, which is 584 years, and many threads may be done with a long wait in
//! one tick. The slots show how often the sum has wrapped.

use monitor_common::hist::{self, SCALE};

use crate::sample::Durations;

/// Scratch buffer of the slots that are not 0, kept from histogram to histogram.
#[derive(Default)]
pub(super) struct Scratch(Vec<(u16, u32)>);

impl Scratch {
    /// What was counted in slots of the scale that `shift` says.
    pub(super) fn durations(&mut self, shift: u32, sum_ns: u64, counts: &[u32]) -> Durations<'_> {
        self.take(0, counts.iter().copied());
        self.filled(shift, sum_ns)
    }

    /// What was counted in slots of scale 3, at the scale that `shift` says.
    pub(super) fn coarser(
        &mut self,
        shift: u32,
        sum_ns: u64,
        counts: impl IntoIterator<Item = u32>,
    ) -> Durations<'_> {
        self.take(shift, counts);
        self.filled(shift, sum_ns)
    }

    fn filled(&self, shift: u32, sum_ns: u64) -> Durations<'_> {
        let sum_ns = unwrapped(sum_ns, shift, &self.0);
        Durations { shift, sum_ns, slots: &self.0, left_behind: false }
    }

    fn take(&mut self, shift: u32, counts: impl IntoIterator<Item = u32>) {
        self.0.clear();
        for (slot, count) in (0u16..).zip(counts).filter(|(_, count)| *count > 0) {
            let slot = slot >> shift;
            match self.0.last_mut() {
                Some((last, sum)) if *last == slot => *sum += count,
                _ => self.0.push((slot, count)),
            }
        }
    }
}

/// The sum of durations, of which `sum_ns` is the lowest 64 bits. It is the least that they can have, which is
/// exact while the widths of their buckets add up to less than 584 years.
fn unwrapped(sum_ns: u64, shift: u32, slots: &[(u16, u32)]) -> u128 {
    let count: u64 = slots.iter().map(|&(_, count)| u64::from(count)).sum();
    let longest = slots.last().map_or(0.0, |&(slot, _)| bound(slot, shift, 1));
    let sum = u128::from(sum_ns);
    if count as f64 * longest < WRAPS_AT {
        return sum;
    }
    let least = slots.iter().map(|&(slot, count)| f64::from(count) * bound(slot, shift, 0));
    // Should all durations be at their lower bounds, rounding must not add a turn.
    let least = least.sum::<f64>() * (1.0 - 1e-9);
    let turns = ((least - sum_ns as f64) / WRAPS_AT).ceil().max(0.0);
    sum + ((turns as u128) << u64::BITS)
}

/// 2^64.
const WRAPS_AT: f64 = 18_446_744_073_709_551_616.0;

/// The lower bound of a slot in nanoseconds, or of one that is so much higher.
fn bound(slot: u16, shift: u32, higher: i32) -> f64 {
    let index = hist::slot_index(slot.into(), shift).map(|index| f64::from(index + higher));
    index.map_or(0.0, |index| 1e9 * (index / f64::from(1 << (SCALE - shift))).exp2())
}

#[cfg(test)]
mod tests {
    use monitor_common::hist::{COARSE_SHIFT, COARSE_SLOTS, FINE_SLOTS, MAX_NS};

    use super::*;

    const DAY_NS: u64 = 24 * 3600 * 1_000_000_000;

    /// As many threads that were blocked for as long, all woken in one tick, as programs count them.
    fn woken(threads: u32, ns: u64) -> (u64, [Vec<u32>; 2]) {
        let mut slots = [vec![0; FINE_SLOTS], vec![0; COARSE_SLOTS]];
        slots[0][hist::slot(ns)] = threads;
        slots[1][hist::coarse(hist::slot(ns))] = threads;
        (ns.wrapping_mul(threads.into()), slots)
    }

    #[test]
    fn sums_of_more_than_584_years_are_whole() {
        for (threads, ns) in
            [(10_000, 22 * DAY_NS), (20_000, 25 * DAY_NS), (200, MAX_NS), (150, MAX_NS)]
        {
            let (sum, [fine, coarse]) = woken(threads, ns);
            let expected = u128::from(threads) * u128::from(ns);
            assert!(expected > u64::MAX.into());
            let mut room = Scratch::default();
            assert_eq!(room.durations(0, sum, &fine).sum_ns, expected, "{threads} of {ns}");
            assert_eq!(room.durations(COARSE_SHIFT, sum, &coarse).sum_ns, expected);
            assert_eq!(room.coarser(COARSE_SHIFT, sum, fine).sum_ns, expected);
        }
    }

    #[test]
    fn sums_of_less_stay_as_they_are() {
        for (threads, ns) in [(0, DAY_NS), (1, 0), (3, 1), (127, MAX_NS), (9_000, 22 * DAY_NS)] {
            let (sum, [fine, coarse]) = woken(threads, ns);
            assert_eq!(u128::from(sum), u128::from(threads) * u128::from(ns), "it does not wrap");
            let mut room = Scratch::default();
            assert_eq!(room.durations(0, sum, &fine).sum_ns, sum.into());
            assert_eq!(room.durations(COARSE_SHIFT, sum, &coarse).sum_ns, sum.into());
        }
        // Even if a sum does not fit to its slots.
        assert_eq!(Scratch::default().durations(0, 0, &[0, 0, 0, 0, 7]).sum_ns, 0);
    }

    #[test]
    fn only_slots_with_something_in_them_are_taken() {
        let mut room = Scratch::default();
        let durations = room.durations(2, 7, &[0, 3, 0, 4]);
        assert_eq!((durations.shift, durations.sum_ns), (2, 7));
        assert_eq!(durations.slots, [(1, 3), (3, 4)]);
        assert!(room.durations(2, 0, &[0; 4]).slots.is_empty());
    }

    #[test]
    fn slots_of_one_coarser_slot_are_put_together() {
        let mut room = Scratch::default();
        let durations = room.coarser(2, 7, [0, 1, 2, 4, 0, 0, 0, 0, 8]);
        assert_eq!(durations.slots, [(0, 7), (2, 8)]);
    }
}
