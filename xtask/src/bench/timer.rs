//! How late a timer is: what keeps a CPU in the kernel without a break.
#![expect(unsafe_code, reason = "the standard library sets no priorities, CPUs and limits")]

use std::{
    io, mem, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, ensure};

/// How often it fires.
const PERIOD: Duration = Duration::from_millis(1);
/// Above all that is not real-time, so that nothing but the kernel itself makes it late.
const PRIORITY: i32 = 50;

/// By how much a timer of a millisecond was late at most, on any CPU, for so long.
pub(super) fn latest(window: Duration) -> Result<Duration> {
    let cpus = thread::available_parallelism()?.get();
    let threads: Vec<_> = (0..cpus).map(|cpu| thread::spawn(move || on_cpu(cpu, window))).collect();
    let mut latest = Duration::ZERO;
    for thread in threads {
        latest = latest.max(thread.join().map_err(|_| anyhow!("a timer has failed"))??);
    }
    Ok(latest)
}

fn on_cpu(cpu: usize, window: Duration) -> Result<Duration> {
    let priority = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: a set of CPUs is plain bits; the pointers are valid, and 0 is the calling thread.
    let results = unsafe {
        let mut set: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut set);
        [
            libc::sched_setaffinity(0, size_of_val(&set), &raw const set),
            libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority),
        ]
    };
    let error = io::Error::last_os_error();
    ensure!(results == [0; 2], "cannot run on CPU {cpu} with a priority: {error}");
    let (begin, mut latest) = (Instant::now(), Duration::ZERO);
    while begin.elapsed() < window {
        let due = Instant::now() + PERIOD;
        thread::sleep(PERIOD);
        latest = latest.max(Instant::now().saturating_duration_since(due));
    }
    Ok(latest)
}

/// Allows this process as many open files as it may have.
pub(super) fn allow_files() -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid.
    let result = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()).context("cannot allow files") }
}
