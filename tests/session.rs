//! A probe and bpftrace side by side.

use std::{
    fs,
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use monitor::kernel::loader::{BpfLevel, Kernel};

use crate::{Events, Recorder, Totals, Tracer, cgroup, sys};

/// Pages of 4 KiB that bpftrace has for each CPU. The workloads print up to some 20 MB.
const PAGES: u32 = 8192;

/// Held by each test: two at once would disturb each other, also when the test runner is not told
/// to run one at a time. Checks first that tests can run at all.
pub fn serial() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(
        sys::is_root(),
        "these tests load programs into the kernel; run them as root: `sudo -E cargo xtask test`"
    );
    for (tool, package) in [("bpftrace", "bpftrace"), ("bpftool", "bpftool")] {
        let found = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(found.is_ok(), "cannot run {tool}; install Debian's package {package}");
    }
    // After a failed test the next one still runs.
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What this thread starts is seen by bpftrace from the first moment.
    sys::set_comm("mt-launch");
    guard
}

/// The running kernel.
pub fn kernel() -> Kernel {
    let controller = cgroup::version_1().map(|_| "cpu");
    Kernel::read(controller, BpfLevel::Off).unwrap_or_else(|error| panic!("{error}"))
}

/// What both saw.
pub struct Observed<T> {
    /// What the probe reported.
    pub totals: Totals,
    /// What bpftrace printed.
    pub events: Events,
    /// What `body` returned.
    pub result: T,
}

/// Runs `body` between the start and the end of both recorders. Processes that it starts must have
/// ended when it returns, so that both saw all of them. When bpftrace lost events, everything is done
/// once more with larger buffers.
///
/// The probe is attached first, so bpftrace reads its clock after the probe's programs have run: at
/// the end of a wait some 100 ns later in relation than at its beginning. The other way around it
/// were the time that bpftrace takes to print, a microsecond and more on a CPU that was idle.
pub fn observe<T>(kernel: &Kernel, body: impl Fn(&Recorder) -> T) -> Observed<T> {
    let mut lost = String::new();
    for pages in [PAGES, 8 * PAGES] {
        let recorder = Recorder::start(kernel);
        let tracer = Tracer::start(pages);
        let result = body(&recorder);
        let totals = recorder.settle_balanced();
        drop(recorder);
        match tracer.stop() {
            Ok(events) => return Observed { totals, events, result },
            Err(message) => lost = message,
        }
    }
    panic!("bpftrace is no reference, as it could not keep up: {lost}");
}

/// Reads a file that must be there.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}
