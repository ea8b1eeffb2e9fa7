//! Runs the `sched` probe as the daemon does, and adds up what it reports.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    sync::{Arc, Condvar, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use monitor::{
    kernel::loader::Kernel,
    metric::AGENT_LOST,
    sample::{Owner, Process, Sample, Value},
};

use crate::{
    counts::Counts,
    running::Running,
    sys::{monotonic_ns, set_comm},
};

/// Time between ticks.
const TICK: Duration = Duration::from_millis(250);

/// For how many ticks to wait for a moment at which no thread ends. On a busy host that may be the
/// next or the tenth.
const BALANCING: u32 = 12;

/// Everything reported since the probe was attached.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Ticks so far.
    pub ticks: u64,
    /// By process, each as it was named at the time.
    pub processes: HashMap<Process, Counts>,
    /// Of the host.
    pub host: Counts,
    /// What was not measured, by reason.
    pub lost: BTreeMap<String, u64>,
}

impl Totals {
    /// The sum over the processes that are `wanted`.
    pub fn of(&self, wanted: impl Fn(&Process) -> bool) -> Counts {
        let mut sum = Counts::default();
        for (_, counts) in self.processes.iter().filter(|(process, _)| wanted(process)) {
            sum.merge(counts);
        }
        sum
    }

    /// One process: what was reported of it while it lived, and what it left behind.
    pub fn of_process(&self, pid: u32, name: &str) -> Counts {
        self.of(|process| process.pid == pid || process.pid == 0 && comm(process) == name)
    }

    /// Whether all processes together are the host.
    fn is_balanced(&self) -> bool {
        let sum = self.of(|_| true);
        (sum.runqueue, sum.offcpu) == (self.host.runqueue.clone(), self.host.offcpu.clone())
    }

    fn add(&mut self, sample: &Sample<'_>) {
        match sample.owner {
            Owner::Process(process) => self.processes.entry(process).or_default().add(sample),
            Owner::Host if sample.metric.name == AGENT_LOST.name => {
                let reason = sample.attributes.iter().last().map_or("", |(_, value)| value);
                let Value::Increase(lost) = sample.value else {
                    panic!("losses are increases");
                };
                *self.lost.entry(reason.to_owned()).or_default() += lost;
            }
            Owner::Host => self.host.add(sample),
            // The table of exited threads is far larger than what a test makes exit in a tick.
            Owner::Rest => panic!("threads found the table of exited threads full"),
        }
    }

    /// Adds the samples of one tick.
    fn absorb(&mut self, tick: Self) {
        self.ticks += 1;
        for (process, counts) in tick.processes {
            self.processes.entry(process).or_default().merge(&counts);
        }
        self.host.merge(&tick.host);
        for (reason, lost) in tick.lost {
            *self.lost.entry(reason).or_default() += lost;
        }
    }
}

/// The command name of a process.
pub fn comm(process: &Process) -> &str {
    let bytes = process.comm.split(|&byte| byte == 0).next().unwrap_or_default();
    std::str::from_utf8(bytes).unwrap_or("")
}

#[derive(Default)]
struct State {
    totals: Totals,
    stopped: bool,
}

/// A running probe.
pub struct Recorder {
    /// When attaching began, in monotonic nanoseconds.
    pub attached_from: u64,
    /// When attaching had ended.
    pub attached_until: u64,
    state: Arc<(Mutex<State>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Loads and attaches the probe, and begins to tick.
    pub fn start(kernel: &Kernel) -> Self {
        let attached_from = monotonic_ns();
        let probe = Running::start(kernel, "sched");
        let attached_until = monotonic_ns();
        probe.check_attached();
        let state = Arc::default();
        let thread = thread::spawn({
            let state = Arc::clone(&state);
            move || run(probe, &state)
        });
        Self { attached_from, attached_until, state, thread: Some(thread) }
    }

    /// Everything up to the last tick.
    pub fn totals(&self) -> Totals {
        self.state.0.lock().expect("the recorder works").totals.clone()
    }

    /// As [`Self::settle`]; then, for some ticks more, until no thread anywhere is just on its way
    /// out. What such a thread did is in the host's totals at once, and in those of its process when
    /// the kernel frees it.
    pub fn settle_balanced(&self) -> Totals {
        let mut totals = self.settle();
        for _ in 0..BALANCING {
            if totals.is_balanced() {
                break;
            }
            totals = self.next_ticks(1);
        }
        totals
    }

    /// Waits until what happened before is in the totals: the tick that is under way at the moment
    /// may not see it any more, the next one does, and the one after has what a thread left behind
    /// that was reaped just now.
    pub fn settle(&self) -> Totals {
        self.next_ticks(3)
    }

    fn next_ticks(&self, count: u64) -> Totals {
        let mut state = self.state.0.lock().expect("the recorder works");
        let end = state.totals.ticks + count;
        while state.totals.ticks < end {
            let (next, timeout) =
                self.state.1.wait_timeout(state, 40 * TICK).expect("the recorder works");
            assert!(!timeout.timed_out(), "the recorder ticks no more");
            state = next;
        }
        state.totals.clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        if let Ok(mut state) = self.state.0.lock() {
            state.stopped = true;
        }
        self.state.1.notify_all();
        if let Some(thread) = self.thread.take() {
            // When it failed it has said so.
            let _ = thread.join();
        }
    }
}

/// One tick after the other, until told to stop.
fn run(mut probe: Running, (state, changed): &(Mutex<State>, Condvar)) {
    set_comm("recorder");
    let mut next = Instant::now() + TICK;
    let mut samples = Totals::default();
    loop {
        let guard = state.lock().expect("tests do not fail while they look");
        let wait = next.saturating_duration_since(Instant::now());
        let stopped = |state: &mut State| !state.stopped;
        let (guard, _) = changed.wait_timeout_while(guard, wait, stopped).expect("as above");
        if guard.stopped {
            return;
        }
        drop(guard);
        next += TICK;
        probe.tick(&mut |sample| samples.add(&sample));
        let mut guard = state.lock().expect("as above");
        guard.totals.absorb(mem::take(&mut samples));
        drop(guard);
        changed.notify_all();
    }
}
