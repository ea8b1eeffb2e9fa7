//! The clock of CPU time.

use std::time::Duration;

/// What this process has used of CPUs so far, with all its threads.
pub(crate) fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the standard library cannot name a clock")]
    // SAFETY: the pointer is valid, and the clock always exists.
    unsafe {
        libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time);
    }
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
