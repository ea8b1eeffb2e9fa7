//! Measuring in turns.

use std::io::{Write, stdout};

use anyhow::Result;

/// How many runs a value takes that is the median of several.
const RUNS: usize = 11;

/// Measures each variant once a round, beginning with another one each time: whatever else happens on
/// the machine then hits all of them alike. `measure` is told which variant it is by its place.
pub(super) fn interleave<const N: usize>(
    rounds: usize,
    (names, unit): ([&str; N], &str),
    mut measure: impl FnMut(usize) -> Result<f64>,
) -> Result<[Vec<f64>; N]> {
    let mut values = [const { Vec::new() }; N];
    for round in 0..rounds {
        print!("round {} of {rounds}:", round + 1);
        for turn in 0..N {
            let variant = (round + turn) % N;
            let value = measure(variant)?;
            values[variant].push(value);
            print!("  {} {value:.3} {unit}", names[variant]);
            stdout().flush()?;
        }
        println!();
    }
    Ok(values)
}

/// The median of several runs, each a process of its own: how fast one is depends by a third on what memory it
/// happens to get.
pub(super) fn several(mut run: impl FnMut() -> Result<f64>) -> Result<f64> {
    Ok(median((0..RUNS).map(|_| run()).collect::<Result<_>>()?))
}

/// The median of how many times the one the other was, round by round.
pub(super) fn ratio(values: &[f64], reference: &[f64]) -> f64 {
    median(values.iter().zip(reference).map(|(value, reference)| value / reference).collect())
}

/// The median.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[half],
        _ => f64::midpoint(values[half - 1], values[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(Vec::new()).is_nan());
    }

    #[test]
    fn one_run_that_fails_fails_all() {
        let mut left = RUNS;
        let failed = several(|| {
            left -= 1;
            anyhow::ensure!(left > 0);
            Ok(1.0)
        });
        assert!(failed.is_err());
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        assert_eq!(ratio(&[2.0, 30.0, 4.0], &[1.0, 10.0, 2.0]), 2.0);
    }

    #[test]
    fn every_variant_has_its_turn_in_every_round() {
        let mut order = Vec::new();
        let values = interleave(2, (["a", "b"], "s"), |variant| {
            order.push(variant);
            Ok(variant as f64)
        });
        assert_eq!(values.unwrap(), [vec![0.0, 0.0], vec![1.0, 1.0]]);
        assert_eq!(order, [0, 1, 1, 0]);
    }
}
