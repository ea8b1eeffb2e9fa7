//! Block devices of our own, what fio and the kernel count of them, and a recorder of the `block`
//! probe.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::Duration,
};

use monitor::{
    kernel::loader::Kernel,
    metric::{
        AGENT_LOST, BLOCK_DEVICE_LATENCY, BLOCK_ERRORS, BLOCK_IO, BLOCK_OPERATIONS,
        BLOCK_QUEUE_LATENCY, MetricDesc, PROCESS_BLOCK_DEVICE_LATENCY, PROCESS_BLOCK_ERRORS,
        PROCESS_BLOCK_IO, PROCESS_BLOCK_OPERATIONS, PROCESS_BLOCK_QUEUE_LATENCY,
    },
    probe::{PROBES, Probe, wait_for_programs},
    sample::{Owner, Process, Sample, Value},
};
use serde_json::Value as Json;

use crate::{Hist, cgroup, session::read, workload::scratch};

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
            Owner::Host => self.host.entry(place).or_default(),
        }
        .add(sample);
    }
}

/// The running probe.
pub struct BlockRecorder {
    probe: Box<dyn Probe>,
    totals: BlockTotals,
}

impl BlockRecorder {
    /// Loads and attaches the probe.
    pub fn start(kernel: &Kernel) -> Self {
        let desc = PROBES.iter().find(|probe| probe.name == "block").expect("there is one");
        let probe = (desc.load)(kernel).unwrap_or_else(|error| panic!("{error}"));
        for verdict in probe.verdicts() {
            assert!(verdict.state.is_attached(), "{}: {}", verdict.hook, verdict.state);
        }
        Self { probe, totals: BlockTotals::default() }
    }

    /// Ends a tick; all that was reported until now.
    pub fn tick(&mut self) -> &BlockTotals {
        self.probe.end_tick().unwrap_or_else(|error| panic!("{error}"));
        wait_for_programs();
        self.probe.snapshot().unwrap_or_else(|error| panic!("{error}"));
        let totals = &mut self.totals;
        self.probe.decode(&mut |sample| totals.add(&sample));
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

/// A loop device over a file or another device.
pub struct Loop {
    /// Its name.
    pub name: String,
    /// Its device file.
    pub path: String,
    /// What holds its file, to be unmounted at the end.
    mount: Option<PathBuf>,
}

impl Loop {
    /// One over a file of that size in memory.
    pub fn in_memory(mebibytes: u32) -> Self {
        let mount = scratch("disk");
        let directory = mount.to_str().expect("plain letters");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={}m", mebibytes + 8), "none", directory],
        );
        let file = mount.join("image");
        let image = fs::File::create(&file).expect("the directory is ours");
        image.set_len(u64::from(mebibytes) << 20).expect("there is room");
        let mut disk = Self::over(&file, &[]);
        disk.mount = Some(mount);
        disk
    }

    /// One over another.
    pub fn over_device(below: &Self) -> Self {
        Self::over(Path::new(&below.path), &["--direct-io=on"])
    }

    /// One that has the partitions found in it, which are `<path>p1` and so on.
    pub fn scan_partitions(&self) {
        run("partx", &["--update", &self.path]);
    }

    fn over(file: &Path, args: &[&str]) -> Self {
        let file = file.to_str().expect("plain letters");
        let path = run("losetup", &[&["--find", "--show"], args, &[file]].concat());
        let path = path.trim().to_owned();
        Self { name: path.trim_start_matches("/dev/").to_owned(), path, mount: None }
    }

    /// What the kernel counts of it.
    pub fn stats(&self) -> DiskStats {
        DiskStats::of(&self.name)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.path]).status();
        if let Some(mount) = &self.mount {
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
            let _ = fs::remove_dir(mount);
        }
    }
}

/// What `/proc/diskstats` counts: operations and sectors of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Reads, and sectors of 512 bytes.
    pub read: (u64, u64),
    /// Writes; requests that only flush are among them.
    pub write: (u64, u64),
    /// Discards.
    pub discard: (u64, u64),
    /// Flushes of the device.
    pub flush: u64,
}

impl DiskStats {
    fn of(device: &str) -> Self {
        let text = read("/proc/diskstats");
        let line = text.lines().find(|line| line.split_whitespace().nth(2) == Some(device));
        let line = line.unwrap_or_else(|| panic!("no {device} in /proc/diskstats"));
        let columns: Vec<u64> =
            line.split_whitespace().skip(3).filter_map(|word| word.parse().ok()).collect();
        let at = |column: usize| columns[column];
        let (read, write, discard) = ((at(0), at(2)), (at(4), at(6)), (at(11), at(13)));
        Self { read, write, discard, flush: at(15) }
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let since = |(a, b): (u64, u64), (c, d): (u64, u64)| (a - c, b - d);
        Self {
            read: since(self.read, before.read),
            write: since(self.write, before.write),
            discard: since(self.discard, before.discard),
            flush: self.flush - before.flush,
        }
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

/// A limit on what a cgroup's processes may move to and from a device; it works with version 1 and 2.
pub struct Throttle(PathBuf);

impl Throttle {
    /// That many operations a second.
    pub fn operations(device: &Loop, per_second: u32) -> Self {
        let number = read(&format!("/sys/block/{}/dev", device.name));
        let number = number.trim();
        let name = format!("monitor-tests-throttle-{}", std::process::id());
        let (root, files) = match cgroup::controller("blkio") {
            Some(root) => {
                let rule = format!("{number} {per_second}");
                let file = |kind| (format!("blkio.throttle.{kind}_iops_device"), rule.clone());
                (root, vec![file("read"), file("write")])
            }
            None => {
                let root = cgroup::version_2().expect("this host has cgroups");
                // Refused where the root is not ours to change; then it has been done already.
                let _ = fs::write(root.join("cgroup.subtree_control"), "+io");
                let rule = format!("{number} riops={per_second} wiops={per_second}");
                (root, vec![("io.max".to_owned(), rule)])
            }
        };
        let directory = root.join(name);
        fs::create_dir(&directory).unwrap_or_else(|error| panic!("{directory:?}: {error}"));
        for (file, rule) in files {
            let path = directory.join(file);
            fs::write(&path, rule).unwrap_or_else(|error| panic!("cannot set {path:?}: {error}"));
        }
        Self(directory)
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        for _ in 0..50 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A run of fio on a device, without its cache.
pub struct Fio<'a> {
    /// What it works on.
    pub path: &'a str,
    /// Its other arguments.
    pub args: &'a [&'a str],
    /// Its limit, if it has one.
    pub throttle: Option<&'a Throttle>,
}

impl Fio<'_> {
    /// Starts it. Its requests are those of the process that is returned.
    pub fn start(&self) -> Child {
        let procs = self.throttle.map(|throttle| throttle.0.join("cgroup.procs"));
        let join = procs.map_or_else(String::new, |path| format!("echo $$ >{}; ", path.display()));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{join}exec fio \"$@\""), "sh"]);
        command.args(["--name=test", "--thread", "--direct=1", "--output-format=json"]);
        command.arg(format!("--filename={}", self.path)).args(self.args);
        spawn(&mut command)
    }
}

/// The part of what fio printed that is about `read`, `write` or `trim`.
pub fn fio_result(output: &Output, direction: &str) -> Json {
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.find('{').map(|begin| &text[begin..]).unwrap_or_default();
    let json: Json = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {text}"));
    json["jobs"][0][direction].clone()
}

/// A number in what fio printed.
pub fn number(json: &Json, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_else(|| panic!("no {name} in {json}"))
}

/// Starts a program whose output is wanted.
pub fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"))
}

/// Runs a program that must succeed; what it printed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {program}: {error}; install it"));
    assert!(
        output.status.success(),
        "{program} {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
