//! Runs the `block` probe as the daemon does, and adds up what it reports.

use std::{
    collections::{BTreeMap, HashMap},
    process::{Child, Output},
    thread,
    time::Duration,
};

use monitor::{
    kernel::loader::Kernel,
    metric::{
        AGENT_LOST, BLOCK_DEVICE_LATENCY, BLOCK_ERRORS, BLOCK_IO, BLOCK_OPERATIONS,
        BLOCK_PASSTHROUGH, BLOCK_QUEUE_LATENCY, MetricDesc, PROCESS_BLOCK_DEVICE_LATENCY,
        PROCESS_BLOCK_ERRORS, PROCESS_BLOCK_IO, PROCESS_BLOCK_OPERATIONS,
        PROCESS_BLOCK_QUEUE_LATENCY,
    },
    sample::{Owner, Process, Sample, Value},
};

use crate::{
    Hist,
    bpftrace::Counting,
    disk::{DiskStats, Loop},
    running::Running,
    session::read,
};

/// Time between ticks while something is waited for.
const TICK: Duration = Duration::from_millis(100);

/// What was counted of one owner, one device and one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockCounts {
    /// Operations.
    pub operations: u64,
    /// Bytes.
    pub bytes: u64,
    /// Failed operations.
    pub errors: u64,
    /// From start to issue.
    pub queue: Hist,
    /// From issue to completion.
    pub device: Hist,
}

impl BlockCounts {
    fn add(&mut self, sample: &Sample<'_>) {
        let is = |metrics: [&'static MetricDesc; 2]| {
            metrics.iter().any(|metric| metric.name == sample.metric.name)
        };
        match &sample.value {
            Value::Increase(n) if is([&BLOCK_OPERATIONS, &PROCESS_BLOCK_OPERATIONS]) => {
                self.operations += n;
            }
            Value::Increase(n) if is([&BLOCK_IO, &PROCESS_BLOCK_IO]) => self.bytes += n,
            Value::Increase(n) if is([&BLOCK_ERRORS, &PROCESS_BLOCK_ERRORS]) => self.errors += n,
            Value::Histogram(d) if is([&BLOCK_QUEUE_LATENCY, &PROCESS_BLOCK_QUEUE_LATENCY]) => {
                self.queue.add(d);
            }
            Value::Histogram(d) if is([&BLOCK_DEVICE_LATENCY, &PROCESS_BLOCK_DEVICE_LATENCY]) => {
                self.device.add(d);
            }
            value => panic!("no test knows of {} with the value {value:?}", sample.metric.name),
        }
    }

    fn merge(&mut self, other: &Self) {
        self.operations += other.operations;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.queue.merge(&other.queue);
        self.device.merge(&other.device);
    }
}

/// A device's name and a direction.
type Place = (String, String);

/// Everything that the probe reported.
#[derive(Clone, Debug, Default)]
pub struct BlockTotals {
    /// By process.
    pub processes: HashMap<(Process, Place), BlockCounts>,
    /// Of nobody known.
    pub rest: HashMap<Place, BlockCounts>,
    /// Of the host.
    pub host: HashMap<Place, BlockCounts>,
    /// What was not measured, by reason.
    pub lost: BTreeMap<String, u64>,
}

impl BlockTotals {
    /// What the processes did that are `wanted`.
    pub fn of(
        &self,
        device: &Loop,
        direction: &str,
        wanted: impl Fn(&Process) -> bool,
    ) -> BlockCounts {
        let place = (device.name.clone(), direction.to_owned());
        let mut sum = BlockCounts::default();
        for ((process, at), counts) in &self.processes {
            if *at == place && wanted(process) {
                sum.merge(counts);
            }
        }
        sum
    }

    /// What the process with this id did.
    pub fn of_pid(&self, device: &Loop, direction: &str, pid: u32) -> BlockCounts {
        self.of(device, direction, |process| process.pid == pid)
    }

    /// What nobody known did.
    pub fn of_rest(&self, device: &Loop, direction: &str) -> BlockCounts {
        let place = (device.name.clone(), direction.to_owned());
        self.rest.get(&place).cloned().unwrap_or_default()
    }

    /// What the host did.
    pub fn of_host(&self, device: &Loop, direction: &str) -> BlockCounts {
        let place = (device.name.clone(), direction.to_owned());
        self.host.get(&place).cloned().unwrap_or_default()
    }

    /// Fails unless all processes and the rest are the host, for every device and direction.
    pub fn check_sums(&self) {
        let mut sums: HashMap<&Place, BlockCounts> = HashMap::new();
        for ((_, place), counts) in &self.processes {
            sums.entry(place).or_default().merge(counts);
        }
        for (place, counts) in &self.rest {
            sums.entry(place).or_default().merge(counts);
        }
        let host: HashMap<_, _> = self.host.iter().map(|(k, v)| (k, v.clone())).collect();
        assert_eq!(sums, host, "all processes and the rest, and the host");
    }

    /// Fails if anything at all was lost.
    pub fn check_nothing_lost(&self) {
        assert!(self.lost.values().all(|&lost| lost == 0), "lost: {:?}", self.lost);
    }

    fn add(&mut self, sample: &Sample<'_>) {
        let mut values = sample.attributes.iter().map(|(_, value)| value.to_owned());
        let mut value = || values.next().unwrap_or_default();
        let place = (value(), value());
        match sample.owner {
            Owner::Process(process) => self.processes.entry((process, place)).or_default(),
            Owner::Rest => self.rest.entry(place).or_default(),
            Owner::Host if sample.metric.name == AGENT_LOST.name => {
                let Value::Increase(lost) = sample.value else {
                    panic!("losses are increases");
                };
                *self.lost.entry(place.1).or_default() += lost;
                return;
            }
            // No process asks for driver commands, but the kernel may.
            Owner::Host if sample.metric.name == BLOCK_PASSTHROUGH.name => return,
            Owner::Host => self.host.entry(place).or_default(),
        }
        .add(sample);
    }
}

/// The running probe.
pub struct BlockRecorder {
    probe: Running,
    totals: BlockTotals,
}

impl BlockRecorder {
    /// Loads and attaches the probe.
    pub fn start(kernel: &Kernel) -> Self {
        let probe = Running::start(kernel, "block");
        probe.check_attached();
        Self { probe, totals: BlockTotals::default() }
    }

    /// Ends a tick; all that was reported until now.
    pub fn tick(&mut self) -> &BlockTotals {
        let totals = &mut self.totals;
        self.probe.tick(&mut |sample| totals.add(&sample));
        totals.lost.insert("recursion_misses".to_owned(), self.probe.recursion_misses());
        totals
    }

    /// Ticks until a program has ended; what it printed.
    pub fn wait(&mut self, mut child: Child) -> Output {
        while child.try_wait().expect("it is a child").is_none() {
            thread::sleep(TICK);
            self.tick();
        }
        self.tick();
        let output = child.wait_with_output().expect("it is a child");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

/// What was recorded of a whole device, in the form of the kernel's own counters. A device's flushes
/// are not recorded but in the requests that wait for them.
pub fn recorded(totals: &BlockTotals, device: &Loop) -> DiskStats {
    let of = |direction| {
        let counts = totals.of_host(device, direction);
        (counts.operations, counts.bytes / 512)
    };
    let (writes, sectors) = of("write");
    let (flushes, nothing) = of("flush");
    let write = (writes + flushes, sectors + nothing);
    DiskStats { read: of("read"), write, discard: of("discard"), flush: 0 }
}

/// Has bpftrace measure the requests to a device, none of which may be where another one is: a reader
/// that shares nothing with ours, with a clock of its own.
pub fn trace_requests(device: &Loop) -> Tracing {
    let number = read(&format!("/sys/block/{}/dev", device.name));
    let (major, minor) = number.trim().split_once(':').expect("two numbers");
    let number = |text: &str| text.parse::<u32>().expect("a number");
    let number = number(major) << 20 | number(minor);
    Tracing(Counting::start(&REQUESTS_SCRIPT.replace("DEVICE", &number.to_string())))
}

/// A request is made once, may be issued several times, of which the last counts, and ends once. What
/// only flushes has no place of its own on the device.
const REQUESTS_SCRIPT: &str = "
tracepoint:block:block_io_start /args->dev == DEVICE && args->nr_sector/ {
  @start[args->sector] = nsecs;
  @who[args->sector] = pid;
}
tracepoint:block:block_rq_issue /args->dev == DEVICE && @start[args->sector]/ {
  @issue[args->sector] = nsecs;
}
tracepoint:block:block_rq_complete /args->dev == DEVICE && @issue[args->sector]/ {
  $end = nsecs;
  $who = @who[args->sector];
  @queue[$who] = sum(@issue[args->sector] - @start[args->sector]);
  @device[$who] = sum($end - @issue[args->sector]);
  @count[$who] = count();
  delete(@start[args->sector]);
  delete(@issue[args->sector]);
  delete(@who[args->sector]);
}
END { clear(@start); clear(@issue); clear(@who); }
";

/// bpftrace, measuring requests.
pub struct Tracing(Counting);

impl Tracing {
    /// Ends it; what it saw.
    pub fn stop(self) -> Traced {
        Traced(self.0.stop())
    }
}

/// What bpftrace measured.
pub struct Traced(HashMap<String, u64>);

impl Traced {
    /// Fails unless a process's requests took as long, with the time between two readings of a clock
    /// for each of them.
    pub fn check(&self, pid: u32, counts: &BlockCounts, what: &str) {
        let of = |name: &str| self.0.get(&format!("{name}[{pid}]")).copied().unwrap_or_default();
        assert_eq!(counts.operations, of("count"), "{what}");
        assert_eq!(counts.queue.count(), counts.operations, "{what}");
        for (name, latency) in [("queue", &counts.queue), ("device", &counts.device)] {
            let (ours, expected) = (latency.sum as f64, of(name) as f64);
            let n = counts.operations as f64;
            println!("{what}: {name} {:.0} ns, by bpftrace {:.0} ns", ours / n, expected / n);
            let allowed = expected * 0.02 + n * BETWEEN_READINGS;
            assert!((ours - expected).abs() <= allowed, "{what}: {name} {ours} for {expected}");
        }
    }
}

/// Nanoseconds that may lie between two readings of a clock at one event.
const BETWEEN_READINGS: f64 = 3000.0;
