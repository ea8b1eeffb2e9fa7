//! The bucket index against big-integer arithmetic, which knows no rounding.
//!
//! A duration of `v` ns lies above bound `i` of scale `s`, `2^(i / 2^s)` seconds, exactly when
//! `v^(2^s) > 10^(9 * 2^s) * 2^i`. Nothing here uses floating point, nor the thresholds of the code.

use std::cmp::Ordering;
use std::ops::RangeInclusive;

use monitor_common::hist::*;
use num_bigint::BigUint;
use proptest::prelude::*;

/// Numbers of the bounds that matter to a `u64`: from below 1 ns to above `u64::MAX` ns.
fn bounds(scale: u32) -> RangeInclusive<i32> {
    -31 << scale..=35 << scale
}

/// Bound `i` in nanoseconds to the power of `2^scale`, as a number and how far to shift it right.
fn bound_power(i: i32, scale: u32) -> (BigUint, u32) {
    let second = BigUint::from(1_000_000_000_u64).pow(1 << scale);
    (second << i.max(0), (-i).max(0).unsigned_abs())
}

/// How `ns` compares with bound `i`.
fn compare(ns: u64, i: i32, scale: u32) -> Ordering {
    let (power, shift) = bound_power(i, scale);
    (BigUint::from(ns).pow(1 << scale) << shift).cmp(&power)
}

/// The integer part of bound `i` in nanoseconds.
fn floor(i: i32, scale: u32) -> BigUint {
    let (power, shift) = bound_power(i, scale);
    (power >> shift).nth_root(1 << scale)
}

/// The index whose bucket holds `ns`: the highest bound that it lies above.
fn reference(ns: u64, scale: u32) -> i32 {
    let (mut below, mut not_below) = bounds(scale).into_inner();
    assert!(compare(ns, below, scale).is_gt() && compare(ns, not_below, scale).is_le());
    while not_below - below > 1 {
        let middle = (below + not_below).div_euclid(2);
        if compare(ns, middle, scale).is_gt() { below = middle } else { not_below = middle }
    }
    below
}

/// Checks everything the code says about `ns`, at every scale.
fn check(ns: u64) {
    for scale in 0..=SCALE {
        let expected = reference(ns, scale);
        let shift = SCALE - scale;
        assert_eq!(index(ns) >> shift, expected, "index of {ns} ns at scale {scale}");
        if shift <= COARSE_SHIFT {
            let from_slot = slot_index(slot(ns) >> shift, shift);
            assert_eq!(from_slot, Some(expected), "slot of {ns} ns at scale {scale}");
        }
    }
    assert_eq!(coarse(slot(ns)), slot(ns) >> COARSE_SHIFT);
}

#[test]
fn both_neighbours_of_every_bound_are_exact() {
    for scale in 0..=SCALE {
        let mut seen = 0;
        for i in bounds(scale) {
            // The last integer that is not above the bound, and the first that is.
            let Ok(last) = u64::try_from(floor(i, scale)) else {
                continue;
            };
            if last > 0 {
                seen += 1;
                assert!(compare(last, i, scale).is_le());
                assert!(index(last) >> (SCALE - scale) < i, "{last} ns, bound {i}, scale {scale}");
                check(last);
            }
            if let Some(first) = last.checked_add(1) {
                assert!(compare(first, i, scale).is_gt());
                assert!(
                    index(first) >> (SCALE - scale) >= i,
                    "{first} ns, bound {i}, scale {scale}"
                );
                check(first);
            }
        }
        // 1 ns is 2^-29.897 s and 2^64 ns are 2^34.102 s.
        let expected = [29 + 1 + 34, 59 + 1 + 68, 119 + 1 + 136, 239 + 1 + 272][scale as usize];
        assert_eq!(seen, expected, "bounds of scale {scale} in the range of u64");
    }
}

#[test]
fn every_power_of_two_and_its_neighbours_are_exact() {
    for bit in 0..u64::BITS {
        let power = 1_u64 << bit;
        [power - 1, power, power + 1].into_iter().filter(|ns| *ns > 0).for_each(check);
    }
}

#[test]
fn a_whole_power_of_two_seconds_ends_its_bucket() {
    for exponent in 0..=34 {
        let ns = 1_000_000_000_u64 << exponent;
        assert_eq!(index(ns), 8 * exponent - 1);
        assert_eq!(index(ns + 1), 8 * exponent);
    }
}

#[test]
fn the_edges_of_the_range() {
    assert_eq!(index(1), MIN_INDEX);
    assert_eq!(reference(1, SCALE), MIN_INDEX);
    check(u64::MAX);

    assert_eq!(slot(0), 0);
    for shift in 0..=COARSE_SHIFT {
        assert_eq!(slot_index(0, shift), None);
        assert!(slot(1) >> shift > 0, "1 ns shares the zero bucket at scale {}", SCALE - shift);
    }
}

#[test]
fn the_longest_duration_has_the_last_slot() {
    assert_eq!(slot(MAX_NS), FINE_SLOTS - 1);
    assert_eq!(slot(MAX_NS + 1), FINE_SLOTS, "the longest duration ends its bucket");
    assert!(coarse(slot(MAX_NS)) < COARSE_SLOTS);
    check(MAX_NS);
    check(MAX_NS + 1);
}

#[test]
fn consecutive_slots_have_consecutive_indices() {
    for shift in 0..=COARSE_SHIFT {
        let slots = slot(1) >> shift..FINE_SLOTS >> shift;
        for (slot, index) in slots.zip(MIN_INDEX >> shift..) {
            assert_eq!(slot_index(slot, shift), Some(index));
        }
    }
}

/// Durations of every magnitude alike; uniform ones would nearly all be centuries long.
fn durations() -> impl Strategy<Value = u64> {
    (any::<u64>(), 0..u64::BITS).prop_map(|(ns, shift)| (ns >> shift).max(1))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 4096,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_duration_is_exact_at_every_scale(ns in durations()) {
        check(ns);
    }

    #[test]
    fn a_longer_duration_never_has_a_lower_index(a in durations(), b in durations()) {
        let (short, long) = (a.min(b), a.max(b));
        prop_assert!(index(short) <= index(long));
        prop_assert!(slot(0) < slot(short) && slot(short) <= slot(long));
    }

    #[test]
    fn no_bucket_is_skipped_where_buckets_are_wider_than_1_ns(ns in 16..u64::MAX) {
        prop_assert!((0..=1).contains(&(index(ns + 1) - index(ns))));
    }
}
