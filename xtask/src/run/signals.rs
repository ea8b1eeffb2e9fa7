//! Signals, received and sent.
#![expect(unsafe_code, reason = "the standard library has no signals")]

use std::{
    io,
    process::{Child, ExitStatus},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::POLL;

/// How long a process may take to end before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

static STOP: AtomicBool = AtomicBool::new(false);

/// From now on a request to end is only noted. Programs started later do not inherit this.
pub(crate) fn catch() {
    extern "C" fn note(_signal: libc::c_int) {
        STOP.store(true, Ordering::Relaxed);
    }
    let handler: extern "C" fn(libc::c_int) = note;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: storing to an atomic is allowed in a signal handler.
        unsafe { libc::signal(signal, handler as libc::sighandler_t) };
    }
}

/// Whether somebody asked this process to end.
pub(crate) fn asked_to_stop() -> bool {
    STOP.load(Ordering::Relaxed)
}

/// Asks a process to end and waits until it has; kills it when that takes too long.
pub(crate) fn terminate(process: &mut Child) -> io::Result<ExitStatus> {
    let start = Instant::now();
    if process.try_wait()?.is_none() {
        // SAFETY: no memory is involved. The process was not waited for, so its id is still its own.
        unsafe { libc::kill(process.id() as libc::pid_t, libc::SIGTERM) };
    }
    while start.elapsed() < STOP_TIMEOUT {
        if let Some(status) = process.try_wait()? {
            return Ok(status);
        }
        thread::sleep(POLL);
    }
    process.kill()?;
    process.wait()
}
