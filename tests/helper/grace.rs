//! Waiting for programs that run long.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use monitor::probe::wait_for_programs;
use monitor_tests::sys::{self, linger::Lingering};

/// How long it looks for a program that is running: kernels with one CPU may never show one.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits `times` for a program that is running, by what the daemon waits with or, for comparison, by
/// `membarrier`. Reports how often it was running before, and how often still after.
pub(crate) fn wait(times: u64, with: &str) {
    let program = Lingering::new();
    let (mut running, mut still) = (0, 0);
    let is_over = AtomicBool::new(false);
    let cpus = sys::cpus();
    thread::scope(|scope| {
        // The program runs as a process is made, which nothing else here does.
        scope.spawn(|| {
            sys::pin(cpus[cpus.len() - 1]);
            while !is_over.load(Ordering::SeqCst) {
                program.reset();
                sys::reap(sys::fork(None, || {}).expect("fork works"));
            }
        });
        // On another CPU, at any moment: else the program may have ended whenever this looks.
        sys::pin(cpus[0]);
        sys::run_first();
        let end = Instant::now() + PATIENCE;
        while running < times && Instant::now() < end {
            if !program.is_running() {
                continue;
            }
            let begun = program.state()[0].load(Ordering::SeqCst);
            match with {
                "membarrier" => sys::membarrier(),
                _ => wait_for_programs().expect("programs can be waited for"),
            }
            let [now, ended] = program.state().each_ref().map(|time| time.load(Ordering::SeqCst));
            running += 1;
            still += u64::from(now == begun && ended == 0);
        }
        is_over.store(true, Ordering::SeqCst);
    });
    crate::done(&[running, still]);
}
