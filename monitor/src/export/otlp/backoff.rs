//! When to try again: later and later, and not all hosts at once.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::client::Retry;

/// How long to wait after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// How long to wait at most.
const LAST: Duration = Duration::from_secs(30);

/// How long a receiver may have us wait: what it asks for beyond that may be a mistake.
const MAX_WISH: Duration = Duration::from_secs(600);

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Notes that all is well.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// Notes a failure, and says after what time to try again.
    pub(super) fn next(&mut self, retry: Retry) -> Duration {
        let jitter = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
        self.wait(retry, jitter)
    }

    /// The same; `jitter` is between 0 and 1.
    fn wait(&mut self, retry: Retry, jitter: f64) -> Duration {
        let doubled = FIRST.saturating_mul(1 << self.failures.min(16)).min(LAST);
        let wished = match retry {
            Retry::Later => Duration::ZERO,
            Retry::After(wish) => wish.min(MAX_WISH),
        };
        self.failures += 1;
        // Not before the receiver wants it.
        wished.mul_f64(1.0 + jitter / 10.0).max(doubled.mul_f64(0.5 + jitter / 2.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(backoff: &mut Backoff, retry: Retry, jitter: f64) -> f64 {
        backoff.wait(retry, jitter).as_secs_f64()
    }

    #[test]
    fn waits_double_to_a_bound_and_begin_anew() {
        let backoff = &mut Backoff::default();
        let waits: Vec<_> = (0..7).map(|_| seconds(backoff, Retry::Later, 1.0)).collect();
        assert_eq!(waits, [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]);
        assert_eq!(seconds(backoff, Retry::Later, 0.0), 15.0);
        backoff.reset();
        assert_eq!(seconds(backoff, Retry::Later, 0.5), 0.75);
        let random = backoff.next(Retry::Later);
        assert!((1.0..=2.0).contains(&random.as_secs_f64()), "{random:?}");
    }

    #[test]
    fn a_receiver_is_not_asked_before_it_wants() {
        let backoff = &mut Backoff::default();
        let after = |seconds| Retry::After(Duration::from_secs(seconds));
        assert_eq!(seconds(backoff, after(7), 0.0), 7.0);
        assert_eq!(seconds(backoff, after(7), 1.0), 7.7);
        assert_eq!(seconds(backoff, after(0), 1.0), 4.0);
        assert_eq!(seconds(backoff, after(86_400), 0.0), 600.0);
    }
}
