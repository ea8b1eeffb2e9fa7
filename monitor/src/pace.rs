//! How often work is done that reads much: not before an interval has passed, and so seldom that it
//! costs 1 % of a CPU at most.

use std::time::{Duration, Instant};

/// How many times as long as it took is waited before it is done again.
const SHARE: u32 = 100;

/// When to do some work.
#[derive(Debug)]
pub struct Pace {
    interval: Duration,
    next: Instant,
}

impl Pace {
    /// Work that is due now, and then no sooner than `interval` after it was last done.
    pub fn new(interval: Duration) -> Self {
        Self { interval, next: Instant::now() }
    }

    /// Whether it may be done now.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// When it may be done.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Notes that it was done from `began` until now.
    pub fn done(&mut self, began: Instant) {
        let now = Instant::now();
        self.next = now + self.interval.max((now - began) * SHARE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_long_is_done_seldom() {
        let interval = Duration::from_secs(1);
        let mut pace = Pace::new(interval);
        assert!(pace.is_due());
        let began = Instant::now();
        pace.done(began);
        assert!(!pace.is_due());
        let wait = pace.next() - began;
        assert!(wait >= interval && wait < interval * 2, "{wait:?} after a moment");
        pace.done(Instant::now() - Duration::from_secs(3));
        assert!(pace.next() - began >= Duration::from_secs(300));
    }
}
