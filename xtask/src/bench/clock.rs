//! CPU time of other processes.

use std::{io, time::Duration};

use anyhow::{Context, Result, ensure};

/// What a process has used of CPUs so far, with all its threads, also those that have ended. `/proc`
/// tells this too, but in hundredths of a second.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the standard library reads no clocks of other processes")]
    // SAFETY: both pointers are valid.
    let results = unsafe {
        let mut clock = 0;
        let found = libc::clock_getcpuclockid(pid as libc::pid_t, &raw mut clock);
        [found, libc::clock_gettime(clock, &raw mut time)]
    };
    ensure!(results[0] == 0, "cannot read the CPU time of process {pid}: it has ended");
    if results[1] != 0 {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("cannot read the CPU time of process {pid}"));
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}
