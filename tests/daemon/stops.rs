//! Looking at the kernel in the middle of a daemon's ticks.

use super::program::{Daemon, eventually};
use crate::{bpftrace::Counting, proc, sys};

/// The thread that ticks.
const THREAD: &str = "tick";

/// Has daemons that this process starts stop in each tick: when their programs have begun to write to
/// the other bank and none writes to the one that has ended, of which nothing has been taken yet.
pub struct Stops(Counting);

impl Stops {
    /// From now on.
    #[expect(clippy::new_without_default, reason = "it is no value, it starts bpftrace")]
    pub fn new() -> Self {
        // The signal comes before the thread is back in the daemon's code.
        Self(Counting::intervening(&format!(
            r#"
tracepoint:syscalls:sys_exit_membarrier
/comm == "{THREAD}" && ((struct task_struct *)curtask)->real_parent->tgid == {}/ {{
    signal("SIGSTOP");
}}"#,
            std::process::id()
        )))
    }

    /// Waits until a daemon has stopped, looks, and lets it go on.
    pub fn look<T>(&self, daemon: &Daemon, look: impl FnOnce() -> T) -> T {
        let stopped = eventually(|| proc::is_stopped(daemon.pid(), THREAD).then_some(()));
        stopped.expect("bpftrace stops the daemon in each tick");
        let seen = look();
        sys::kill(daemon.pid(), libc::SIGCONT);
        seen
    }

    /// Lets a daemon tick as it will.
    pub fn end(self, daemon: &Daemon) {
        self.0.stop();
        sys::kill(daemon.pid(), libc::SIGCONT);
    }
}
