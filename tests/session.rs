//! A probe and bpftrace side by side.

use std::{
    env,
    fs::{self, File},
    process::{Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use monitor::{
    kernel::loader::{BpfLevel, Kernel},
    probe::PROBES,
};

use crate::{Events, Recorder, Totals, Tracer, cgroup, reference::PREFIX, sys};

/// Pages of 4 KiB that bpftrace has for each CPU. The workloads print up to some 20 MB.
const PAGES: u32 = 8192;

/// Held by each test. Two at once would take each other's processes for their own, be it in this
/// process or another.
pub struct Serial {
    _here: MutexGuard<'static, ()>,
    /// Locked as long as it is open.
    _everywhere: File,
}

/// Checks that tests can run at all, and waits for its turn.
pub fn serial() -> Serial {
    static ONE: Mutex<()> = Mutex::new(());
    assert!(
        sys::is_root(),
        "these tests load programs into the kernel; run them as root: `sudo -E cargo xtask test`"
    );
    for tool in ["bpftrace", "bpftool"] {
        let found = Command::new(tool)
            .arg("--version")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(found.is_ok(), "cannot run {tool}; install Debian's package {tool}");
    }
    // After a failed test the next one still runs.
    let here = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let path = env::temp_dir().join("monitor-tests.lock");
    let everywhere = File::create(&path).and_then(|file| file.lock().map(|()| file));
    let everywhere = everywhere.unwrap_or_else(|error| panic!("cannot lock {path:?}: {error}"));
    // What this thread starts is seen by bpftrace from the first moment.
    sys::set_comm("mt-launch");
    Serial { _here: here, _everywhere: everywhere }
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
/// once more with larger buffers. When the kernel kept the ends of threads from both, or too many wakeups,
/// it is done once more in the hope that it does not, and at last with what there is;
/// [`crate::truth`] fails if that is too little.
///
/// The probe is attached first, so bpftrace reads its clock after the probe's programs have run: at
/// the end of a wait some 100 ns later in relation than at its beginning. The other way around it
/// were the time that bpftrace takes to print, a microsecond and more on a CPU that was idle.
pub fn observe<T>(kernel: &Kernel, body: impl Fn(&Recorder) -> T) -> Observed<T> {
    let mut pages = PAGES;
    for left in (0..ATTEMPTS).rev() {
        let recorder = Recorder::start(kernel);
        let tracer = Tracer::start(pages);
        let result = body(&recorder);
        let totals = recorder.settle_balanced();
        drop(recorder);
        match tracer.stop() {
            Ok(events) => {
                let blind = events.blind(|_, comm| comm.starts_with(PREFIX));
                if (blind.unended == 0 && blind.shown() >= SHOWN) || left == 0 {
                    return Observed { totals, events, result };
                }
                println!("once more, as the kernel did not show everything: {blind:?}");
            }
            Err(lost) if pages > PAGES => {
                panic!("bpftrace is no reference, as it could not keep up: {lost}")
            }
            Err(_) => pages *= 8,
        }
    }
    panic!("bpftrace is no reference, as it could not keep up");
}

/// How often observations are made at most.
const ATTEMPTS: u32 = 5;

/// The share of all runs that an observation should have seen. It is half as far from all as
/// [`crate::truth`] lets counts be apart.
const SHOWN: f64 = 0.995;

/// Makes a measurement, and once more when something was not to be seen, in the hope that it is then. On
/// some machines no tracepoint fires while certain threads run, such as those of a sandbox, nor in
/// interrupts that come just then.
pub fn shown<T>(measure: impl Fn() -> T, is_complete: impl Fn(&T) -> bool) -> T {
    for _ in 1..ATTEMPTS {
        let measured = measure();
        if is_complete(&measured) {
            return measured;
        }
        println!("once more, as the kernel did not show everything");
    }
    measure()
}

/// Reads a file that must be there.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Whether a hook of a probe can be attached here.
pub fn is_attached(probe: &str, hook: &str) -> bool {
    let desc = PROBES.iter().find(|desc| desc.name == probe).expect("there is one");
    let loaded = (desc.load)(&kernel()).unwrap_or_else(|error| panic!("{error}"));
    loaded.verdicts().iter().any(|verdict| verdict.hook == hook && verdict.state.is_attached())
}
