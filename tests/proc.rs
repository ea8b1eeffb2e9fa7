//! What the kernel itself counts of threads, from `/proc`.

use std::{fs, thread, time::Duration};

use crate::session::read;

/// The kernel's counters of one thread, or of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// First field of `schedstat`: on-CPU time in nanoseconds.
    pub cpu_ns: u64,
    /// Second field: time waited for a CPU in nanoseconds.
    pub run_delay_ns: u64,
    /// Third field: times it was given a CPU.
    pub times: u64,
    /// `voluntary_ctxt_switches` of `status`.
    pub voluntary: u64,
    /// `nonvoluntary_ctxt_switches` of `status`.
    pub involuntary: u64,
}

impl Counters {
    /// Of the thread with this directory in `/proc`.
    pub fn of_thread(directory: &str) -> Self {
        let schedstat = read(&format!("{directory}/schedstat"));
        let status = read(&format!("{directory}/status"));
        let mut fields = schedstat.split_whitespace().map(|field| field.parse().unwrap_or(0));
        let mut field = || fields.next().unwrap_or(0);
        Self {
            cpu_ns: field(),
            run_delay_ns: field(),
            times: field(),
            voluntary: line(&status, "voluntary_ctxt_switches"),
            involuntary: line(&status, "nonvoluntary_ctxt_switches"),
        }
    }

    /// Of a process: all of its threads.
    pub fn of_process(pid: u32) -> Self {
        let mut sum = Self::default();
        for thread in threads(pid) {
            sum.add(&Self::of_thread(&thread));
        }
        sum
    }

    /// Of a process that has nothing more to do: once nothing changes, so that readers at different
    /// times see the same. Panics when that takes longer than some seconds.
    pub fn of_idle_process(pid: u32) -> Self {
        let mut last = Self::default();
        for _ in 0..100 {
            let now = Self::of_process(pid);
            if now == last && threads(pid).iter().all(|thread| state(thread) == 'S') {
                return now;
            }
            last = now;
            thread::sleep(Duration::from_millis(50));
        }
        panic!("process {pid} does not come to rest");
    }

    /// Adds another.
    pub fn add(&mut self, other: &Self) {
        self.cpu_ns += other.cpu_ns;
        self.run_delay_ns += other.run_delay_ns;
        self.times += other.times;
        self.voluntary += other.voluntary;
        self.involuntary += other.involuntary;
    }
}

/// The directories of a process's threads.
pub fn threads(pid: u32) -> Vec<String> {
    let directory = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
    entries.filter_map(|entry| Some(entry.ok()?.path().to_str()?.to_owned())).collect()
}

/// The letter of a thread's state.
pub fn state(directory: &str) -> char {
    let stat = read(&format!("{directory}/stat"));
    stat.rsplit(") ").next().and_then(|rest| rest.chars().next()).unwrap_or('?')
}

/// Whether a signal has stopped the thread of a process that is called so.
pub fn is_stopped(pid: u32, comm: &str) -> bool {
    let is_called = |thread: &String| {
        // It may have ended by now.
        fs::read_to_string(format!("{thread}/comm")).is_ok_and(|name| name.trim_end() == comm)
    };
    threads(pid).iter().find(|thread| is_called(thread)).is_some_and(|thread| state(thread) == 'T')
}

/// Whether the kernel says that a process is a thread of its own; `None` when it is gone.
pub fn is_kernel_thread(pid: u32) -> Option<bool> {
    const PF_KTHREAD: u64 = 0x0020_0000;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let flags: u64 = stat.rsplit(") ").next()?.split(' ').nth(6)?.parse().ok()?;
    Some(flags & PF_KTHREAD != 0)
}

/// How much memory a process has, without what is swapped out, in KiB.
pub fn resident_kib(pid: u32) -> u64 {
    line(&read(&format!("/proc/{pid}/status")), "VmRSS")
}

fn line(status: &str, name: &str) -> u64 {
    status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        // Sizes have a unit.
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or_else(|| panic!("no {name} in the status of a thread"))
}
