//! Looking at the kernel in the middle of a daemon's ticks.

use super::program::{Daemon, eventually};
use crate::{bpftrace::Counting, proc, sys};

/// The thread that ticks.
const THREAD: &str = "tick";

/// By what it waits for programs: `BPF_MAP_UPDATE_ELEM` of a `BPF_MAP_TYPE_ARRAY_OF_MAPS`.
const UPDATE: u32 = 2;
const MAP_OF_MAPS: u32 = 12;

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
tracepoint:syscalls:sys_enter_bpf
/comm == "{THREAD}" && args->cmd == {UPDATE}
    && ((struct task_struct *)curtask)->real_parent->tgid == {}/ {{
    $file = *(((struct task_struct *)curtask)->files->fdt->fd + *(uint32 *)uptr(args->uattr));
    if (((struct bpf_map *)$file->private_data)->map_type == {MAP_OF_MAPS}) {{
        @waits[tid] = 1;
    }}
}}
tracepoint:syscalls:sys_exit_bpf
/@waits[tid]/ {{
    delete(@waits[tid]);
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
