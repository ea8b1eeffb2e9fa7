//! Processes that end in different ways.

use std::{thread, time::Duration};

use monitor_tests::sys;

/// How many children there are at a time.
const BATCH: u64 = 25;

/// Signals that end a process, none of them by leaving its memory in a file.
const SIGNALS: [i32; 4] = [libc::SIGKILL, libc::SIGTERM, libc::SIGUSR1, libc::SIGALRM];

/// Starts `total` children that end by themselves with codes of all values, or by a signal. Reports of
/// each its process id, and what `wait4` says: the status and the peak of its resident set in KiB.
pub(crate) fn codes(total: u64) {
    report(total, |n| {
        if n % 5 == 4 {
            sys::kill(std::process::id(), SIGNALS[n as usize / 5 % SIGNALS.len()]);
        }
        sys::exit(n as i32 % 256);
    });
}

/// The same of children of four threads, which all end at once: by the end of each one thread, by one
/// that ends all, or by a signal.
pub(crate) fn threads(total: u64) {
    report(total, |n| {
        for _ in 0..3 {
            thread::spawn(move || {
                match n % 3 {
                    1 => thread::sleep(Duration::from_secs(10)),
                    // The name of a thread is not that of its process.
                    _ => sys::set_comm("mt-thread"),
                }
                sys::exit_thread(9);
            });
        }
        match n % 3 {
            // Its code counts, whichever thread is the last.
            0 => sys::exit_thread(n as i32 % 256),
            1 => sys::kill(std::process::id(), libc::SIGKILL),
            _ => sys::exit(n as i32 % 256),
        }
    });
}

fn report(total: u64, child: impl Fn(u64)) {
    let mut numbers = Vec::new();
    for batch in 0..total.div_ceil(BATCH) {
        let children: Vec<_> = (batch * BATCH..total.min((batch + 1) * BATCH))
            .map(|n| sys::fork(None, || child(n)).expect("fork works"))
            .collect();
        for pid in children {
            let ended = sys::wait4(pid);
            numbers.extend([pid.into(), ended.status.into(), ended.peak_rss_kib]);
        }
    }
    crate::done(&numbers);
}
