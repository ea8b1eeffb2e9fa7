//! How often work is done that reads much: not before an interval has passed, and so seldom that it
//! costs 1 % of a CPU at most.

use std::time::{Duration, Instant};

/// How many times the CPU time that it took is waited before it is done again.
const SHARE: u32 = 100;

/// When to do some work.
#[derive(Debug)]
pub struct RateLimit {
    interval: Duration,
    longest: Duration,
    next: Instant,
}

impl RateLimit {
    /// Work that is due now, and then no sooner than `interval` after it was last done.
    pub fn new(interval: Duration) -> Self {
        Self::with_limit(interval, Duration::MAX)
    }

    /// The same for work that is due after `longest` whatever it costs, as its results grow old.
    pub fn with_limit(interval: Duration, longest: Duration) -> Self {
        Self { interval, longest, next: Instant::now() }
    }

    /// Whether it may be done now.
    pub fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// When it may be done.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Notes that it was done by this thread from `began` until now. Time in which the thread waited
    /// for a CPU is no cost.
    pub fn done(&mut self, began: CpuTime) {
        let wait = (began.elapsed() * SHARE).min(self.longest);
        self.next = Instant::now() + wait.max(self.interval);
    }
}

/// A reading of the calling thread's CPU time.
#[derive(Clone, Copy, Debug)]
pub struct CpuTime(Duration);

impl CpuTime {
    /// What the calling thread has used so far.
    pub fn now() -> Self {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        #[expect(unsafe_code, reason = "the standard library has no clock for CPU time")]
        // SAFETY: the call writes to the structure alone.
        unsafe {
            // It fails for clocks that do not exist.
            libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time);
        }
        let [seconds, ns] = [time.tv_sec, time.tv_nsec].map(|it| u64::try_from(it).unwrap_or(0));
        Self(Duration::from_secs(seconds) + Duration::from_nanos(ns))
    }

    /// What it has used since.
    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(1);

    /// Keeps a CPU busy.
    fn burn(time: Duration) {
        let began = CpuTime::now();
        while began.elapsed() < time {}
    }

    #[test]
    fn work_that_takes_long_is_done_seldom() {
        let mut pace = RateLimit::new(INTERVAL);
        assert!(pace.is_due());
        let began = CpuTime::now();
        burn(Duration::from_millis(30));
        let ended = Instant::now();
        pace.done(began);
        assert!(!pace.is_due());
        assert!(pace.next() - ended >= Duration::from_secs(3));
    }

    #[test]
    fn waiting_is_no_work() {
        let mut pace = RateLimit::new(INTERVAL);
        let began = CpuTime::now();
        std::thread::sleep(Duration::from_millis(100));
        let ended = Instant::now();
        pace.done(began);
        let wait = pace.next() - ended;
        assert!(wait < Duration::from_secs(5), "{wait:?}");
    }

    #[test]
    fn results_never_grow_older_than_the_limit() {
        let longest = Duration::from_millis(20);
        let mut pace = RateLimit::with_limit(INTERVAL, longest);
        let began = CpuTime::now();
        burn(Duration::from_millis(30));
        pace.done(began);
        assert!(pace.next() <= Instant::now() + longest);
    }
}
