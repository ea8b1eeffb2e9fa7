//! The scheduler's raw events as bpftrace prints them: a reader that shares nothing with ours.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{bpftrace::MOUNT_AND_RUN, sys};

/// All processes that are looked at have names that begin so.
pub const PREFIX: &str = "mt-";

/// One line for each event that concerns a thread of ours, and for every thread that is freed, as
/// its name cannot be read. The clock comes first, so that what
/// follows does not count. At the end it prints how often a CPU left another thread than the one it
/// had last switched to.
const SCRIPT: &str = r#"
tracepoint:sched:sched_switch {
    $t = nsecs;
    if (strncmp(args->prev_comm, "mt-", 3) == 0 || strncmp(args->next_comm, "mt-", 3) == 0) {
        printf("S\t%llu\t%d\t%lld\t%d\t%s\n",
            $t, args->prev_pid, args->prev_state, args->next_pid, args->next_comm);
    }
    if (@on[cpu] != args->prev_pid) {
        @unseen = @unseen + 1;
    }
    @on[cpu] = args->next_pid;
}
tracepoint:sched:sched_process_free {
    printf("F\t%llu\t%d\t%lld\t%d\t%s\n", nsecs, 0, (int64)0, args->pid, "");
}
END {
    clear(@on);
}
tracepoint:sched:sched_wakeup {
    $t = nsecs;
    if (strncmp(args->comm, "mt-", 3) == 0) {
        printf("W\t%llu\t%d\t%lld\t%d\t%s\n", $t, 0, (int64)0, args->pid, args->comm);
    }
}
tracepoint:sched:sched_wakeup_new {
    $t = nsecs;
    if (strncmp(args->comm, "mt-", 3) == 0) {
        printf("N\t%llu\t%d\t%lld\t%d\t%s\n", $t, 0, (int64)0, args->pid, args->comm);
    }
}
"#;

/// States of a task at `sched_switch` from which it needs no wakeup: running, with or without the
/// bit for "preempted", which is twice the highest state that is reported.
fn is_runnable(prev_state: u64) -> bool {
    const PREEMPTED: u64 = 0x100;
    prev_state == 0 || prev_state & PREEMPTED != 0
}

/// A running bpftrace.
pub struct Tracer {
    bpftrace: Child,
    directory: PathBuf,
}

impl Tracer {
    /// Starts bpftrace with this many pages of buffer for each CPU, and waits until it sees events.
    pub fn start(pages: u32) -> Self {
        let directory = crate::workload::scratch("bpftrace");
        let file = |name| fs::File::create(directory.join(name)).expect("the directory is ours");
        let script = directory.join("script.bt");
        fs::write(&script, SCRIPT).expect("the directory is ours");
        let bpftrace = Command::new("unshare")
            .args(["--mount", "sh", "-c", MOUNT_AND_RUN, "sh", "-B", "line"])
            .arg(&script)
            .env("BPFTRACE_PERF_RB_PAGES", pages.to_string())
            .env("BPFTRACE_STRLEN", "16")
            .stdin(Stdio::null())
            .stdout(file("events"))
            .stderr(file("errors"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run unshare: {error}; install util-linux"));
        let mut tracer = Self { bpftrace, directory };
        tracer.wait_for_events();
        tracer
    }

    /// Makes events until some of each kind are printed.
    fn wait_for_events(&mut self) {
        for _ in 0..2000 {
            let thread = thread::spawn(|| thread::sleep(Duration::from_millis(5)));
            thread.join().expect("it only sleeps");
            let text = self.read("events");
            if KINDS.iter().all(|(_, sign)| text.contains(&format!("\n{sign}\t"))) {
                return;
            }
            if let Ok(Some(status)) = self.bpftrace.try_wait() {
                panic!("bpftrace ended with {status}:\n{}", self.read("errors"));
            }
        }
        panic!("bpftrace sees no events:\n{}", self.read("errors"));
    }

    /// Has a last event happen on each CPU, until it is printed. What happened there before is printed
    /// then, too.
    fn wait_for_last_events(&self) {
        for cpu in sys::cpus() {
            let name = format!("mt-last{cpu}");
            let printed = (0..2000).any(|_| {
                thread::scope(|scope| {
                    scope.spawn(|| {
                        sys::pin(cpu);
                        sys::set_comm(&name);
                        thread::sleep(Duration::from_millis(5));
                    });
                });
                self.read("events").contains(&format!("\t{name}\n"))
            });
            assert!(printed, "bpftrace sees no events of CPU {cpu}:\n{}", self.read("errors"));
        }
    }

    /// Stops bpftrace. An error says how many events it lost.
    pub fn stop(mut self) -> Result<Events, String> {
        let end = sys::monotonic_ns();
        self.wait_for_last_events();
        sys::kill(self.bpftrace.id(), libc::SIGINT);
        self.bpftrace.wait().expect("it was started here");
        let text = self.read("events");
        let lost = |line: &&str| line.starts_with("Lost ");
        if let Some(line) = self.read("errors").lines().chain(text.lines()).find(lost) {
            return Err(line.to_owned());
        }
        let mut events: Vec<_> = text.lines().filter_map(Event::parse).collect();
        // Not the threads that only made the last events.
        events.retain(|event| event.kind != Kind::New || event.ns < end);
        events.sort_by_key(|event| event.ns);
        let unseen = text.lines().find_map(|line| line.strip_prefix("@unseen: ")?.parse().ok());
        // Each CPU is once found to run something for the first time.
        let unseen = unseen.unwrap_or(0u64).saturating_sub(sys::cpus().len() as u64);
        Ok(Events { events, unseen })
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.directory.join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        let _ = self.bpftrace.kill();
        let _ = self.bpftrace.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Switch,
    Wakeup,
    New,
    Free,
}

/// The kinds by the letter that begins a line.
const KINDS: [(Kind, &str); 4] =
    [(Kind::Switch, "S"), (Kind::Wakeup, "W"), (Kind::New, "N"), (Kind::Free, "F")];

/// One event. For a wakeup only `next` counts, the thread that is woken.
#[derive(Clone, Debug)]
struct Event {
    kind: Kind,
    ns: u64,
    prev: u32,
    prev_state: u64,
    next: u32,
    next_comm: String,
}

impl Event {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split('\t');
        let sign = fields.next()?;
        let &(kind, _) = KINDS.iter().find(|(_, kind)| *kind == sign)?;
        Some(Self {
            kind,
            ns: fields.next()?.parse().ok()?,
            prev: fields.next()?.parse().ok()?,
            prev_state: fields.next()?.parse().ok()?,
            next: fields.next()?.parse().ok()?,
            next_comm: fields.next()?.to_owned(),
        })
    }
}

/// All events of threads of ours, in the order of time.
pub struct Events {
    events: Vec<Event>,
    unseen: u64,
}

/// What the kernel kept from all observers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Blind {
    /// How often a thread was given a CPU.
    pub ran: u64,
    /// How often without that, or why it wanted one, being seen.
    pub unseen: u64,
    /// How many threads were begun.
    pub begun: u64,
    /// How many of them were not seen to be freed: most of what they did was never handed on.
    pub unended: u64,
}

impl Blind {
    /// The share of all threads that were seen from beginning to end.
    pub fn seen(&self) -> f64 {
        1.0 - self.unended as f64 / self.begun.max(1) as f64
    }

    /// The share of all runs that were seen, and why they were wanted.
    pub fn shown(&self) -> f64 {
        1.0 - self.unseen as f64 / self.ran.max(1) as f64
    }
}

/// When a thread began to be blocked, and when to wait for a CPU.
#[derive(Default)]
struct Stamps {
    out: Option<u64>,
    wake: Option<u64>,
}

/// Durations in nanoseconds, in the order of their ends.
#[derive(Clone, Debug, Default)]
pub struct Intervals {
    /// Waits for a CPU.
    pub runqueue: Vec<u64>,
    /// Times blocked.
    pub offcpu: Vec<u64>,
}

impl Events {
    /// How many context switches of the host no tracer can have seen. Some kernels fire no tracepoints
    /// while certain threads run, such as those of the agent in a virtual machine.
    pub fn unseen_switches(&self) -> u64 {
        self.unseen
    }

    /// What no tracer can have seen of the threads that are `wanted`.
    pub fn blind(&self, wanted: impl Fn(u32, &str) -> bool) -> Blind {
        let mut blind = Blind::default();
        let mut threads: HashMap<u32, (bool, bool)> = HashMap::new();
        for event in &self.events {
            let wanted_next = wanted(event.next, &event.next_comm);
            match event.kind {
                Kind::Switch => {
                    // It ran, so it must have been given the CPU.
                    if let Some((on_cpu, woken)) = threads.get_mut(&event.prev) {
                        blind.ran += u64::from(!*on_cpu);
                        blind.unseen += u64::from(!*on_cpu);
                        (*on_cpu, *woken) = (false, is_runnable(event.prev_state));
                    }
                    if wanted_next && let Some((on_cpu, woken)) = threads.get_mut(&event.next) {
                        blind.ran += 1;
                        blind.unseen += u64::from(!*woken);
                        *on_cpu = true;
                    }
                }
                Kind::Free => {
                    blind.unended -=
                        u64::from(threads.contains_key(&event.next)).min(blind.unended);
                }
                Kind::New if wanted_next => {
                    threads.insert(event.next, (false, true));
                    blind.begun += 1;
                    blind.unended += 1;
                }
                Kind::Wakeup | Kind::New => {
                    if let Some((_, woken)) = threads.get_mut(&event.next) {
                        *woken = true;
                    }
                }
            }
        }
        blind
    }

    /// What follows for the threads that are `wanted`, by thread id and name at the end of the wait.
    pub fn intervals(&self, wanted: impl Fn(u32, &str) -> bool) -> Intervals {
        self.intervals_since(0, wanted)
    }

    /// As [`Self::intervals`], of waits that ended after `start`.
    pub fn intervals_since(&self, start: u64, wanted: impl Fn(u32, &str) -> bool) -> Intervals {
        let mut threads: HashMap<u32, Stamps> = HashMap::new();
        let mut found = Intervals::default();
        for event in &self.events {
            let at = Some(event.ns);
            if event.kind == Kind::Free {
                continue;
            }
            if event.kind != Kind::Switch {
                let stamps = threads.entry(event.next).or_default();
                if event.kind == Kind::New {
                    *stamps = Stamps::default();
                }
                // A queued thread can be woken again; it has waited since the first time.
                stamps.wake = stamps.wake.or(at);
                continue;
            }
            if event.prev != 0 {
                let runnable = is_runnable(event.prev_state);
                let stamps = if runnable {
                    Stamps { out: None, wake: at }
                } else {
                    Stamps { out: at, wake: None }
                };
                threads.insert(event.prev, stamps);
            }
            if event.next == 0 {
                continue;
            }
            let Stamps { out, wake } =
                threads.insert(event.next, Stamps::default()).unwrap_or_default();
            let Some(wake) = wake else { continue };
            if event.ns < start || !wanted(event.next, &event.next_comm) {
                continue;
            }
            found.runqueue.push(event.ns - wake);
            if let Some(out) = out {
                found.offcpu.push(wake - out);
            }
        }
        found
    }
}
