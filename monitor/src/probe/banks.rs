//! Waiting until no program can still be writing to a bank that was flipped away.

use std::{thread, time::Duration};

/// `MEMBARRIER_CMD_GLOBAL`: waits for an RCU grace period.
const GLOBAL: libc::c_int = 1;

/// How long to wait where the kernel does not offer the call: far longer than any program runs.
const FALLBACK: Duration = Duration::from_millis(50);

/// Returns when every program that was running at the time of the call has ended. BPF programs run
/// as RCU readers, and the kernel's global memory barrier waits for a grace period. It takes some
/// milliseconds and next to no CPU time. Kernels with isolated (`nohz_full`) CPUs do not offer it;
/// there it waits a fixed time.
pub fn wait_for_programs() {
    #[expect(unsafe_code, reason = "libc has no wrapper for membarrier")]
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if result != 0 {
        thread::sleep(FALLBACK);
    }
}
