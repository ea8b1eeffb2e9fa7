//! The `sched` probe: run-queue, throttled and off-CPU latency, on-CPU time and context switches of every
//! process. See `monitor-ebpf/src/bin/sched` for the kernel's half.

mod decode;
mod throttle;
mod unvisited;

use std::{thread, time::Duration};

use aya::maps::{Array, MapData, MapError};
use monitor_common::{
    key::{BANKS, NO_BANK, ProcessKey},
    offsets::{TaskOffsets, ThreadOffsets, ThrottleOffsets},
    sched::{Control, Exited, HostBank, ProcessThrottled, TASK_BYTES},
};

use self::{
    decode::{Decoder, Snapshot},
    unvisited::Unvisited,
};
use super::{
    MapEntries, Probe, ProbeDesc, ProbeError, banked::Banked, events::Events, maps, pairs,
    table::Table,
};
use crate::{
    event::{Event, Kind},
    kernel::{
        attach::{Alternative, Hook, Target, tracepoint},
        iter,
        loader::{Kernel, Object, Raw, Setup},
        stats::ProgramStats,
    },
    metric,
    sample::Sample,
};

const NAME: &str = "sched";
const PASS: &str = "report_tasks";

/// At most this many slots for stamps, 32 bytes each. Threads whose ids collide are measured all the
/// same, only at a higher price.
const MAX_STAMP_SLOTS: u32 = 1 << 18;

/// The programs' only variable that changes, which aya makes a map of its section for.
const CONTROL: &str = ".bss";

/// How often it is tried to give every thread its storage at the start, and how long is waited
/// between.
const PASSES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(2);

/// In the order of attaching: what frees comes first, then storage for new threads, then for all there
/// are, and only then the hooks that look for it. Switches before wakeups: a stamp that is not taken away by a switch
/// would be taken for the start of a later wait.
const HOOKS: &[Hook] = &[
    tracepoint!(
        "sched_process_free",
        Some("what threads used in the tick they exit in; and measuring gets dearer with time")
    ),
    tracepoint!("task_newtask", None),
    tracepoint!(
        "sched_process_fork",
        Some(
            "some threads in their first tick, from Linux 7.0 on: those that the kernel skips task_newtask for"
        )
    ),
    Hook {
        name: "iter_task",
        alternatives: &[Alternative { program: PASS, target: Target::Iter("task") }],
        without: None,
    },
    tracepoint!("sched_switch", None),
    tracepoint!("sched_wakeup", None),
    tracepoint!("sched_wakeup_new", Some("the first run-queue latency of new threads")),
];

/// Threads that are throttled and given to another CPU before they run. As this is for each thread that is
/// woken on another CPU too, it is attached only once threads are throttled.
const MOVES: Hook = Hook {
    name: "sched_migrate_task",
    alternatives: &[Alternative {
        program: "sched_migrate_task",
        target: Target::TpBtfOnDemand("sched_migrate_task"),
    }],
    without: Some("throttled time of threads that change their CPU before they run again"),
};

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "run-queue, throttled and off-CPU latency, on-CPU time, context switches and page faults",
    metrics: metric::SCHED_ALL,
    hooks: HOOKS,
    is_default: true,
    slow: Some(Duration::from_millis(100)),
    load: |kernel| Ok(Box::new(Sched::load(kernel)?)),
};

struct Sched {
    object: Object,
    control: Array<MapData, Raw<Control>>,
    host: Banked<HostBank>,
    exited: Table<ProcessKey, Exited>,
    throttled: Table<ProcessKey, ProcessThrottled>,
    /// What the kernel lacks to say who is throttled.
    unthrottled: Option<&'static str>,
    cpus: u32,
    /// The bank that programs write to.
    bank: u32,
    events: Events,
    unvisited: Unvisited,
    snapshot: Snapshot,
    decoder: Decoder,
}

impl Sched {
    fn load(kernel: &Kernel) -> Result<Self, ProbeError> {
        let slots = kernel.pid_max.next_power_of_two().min(MAX_STAMP_SLOTS);
        let mut object = kernel.load(
            NAME,
            aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/sched.o")),
            &Setup {
                offsets: &[TaskOffsets::TABLE, ThreadOffsets::TABLE, ThrottleOffsets::TABLE],
                constants: &[("CPUS", kernel.cpus), ("SLOT_MASK", slots - 1)],
                sizes: &[("STAMPS", slots), ("HOST", kernel.cpus * BANKS as u32)],
            },
        )?;
        let mut control = maps::take(&mut object, (NAME, CONTROL))?;
        let exited = Table::take(&mut object, (NAME, "EXITED"), Exited::EMPTY)?;
        set_bank(&mut control, NO_BANK, Control::default())?;
        let mut unvisited = Unvisited::new();
        for hook in HOOKS {
            if kernel.attach(&mut object, hook) && hook.name == "iter_task" {
                make_storage(&mut object, &mut control, &mut unvisited)?;
            }
        }
        super::require(NAME, HOOKS, &object.verdicts)?;
        let unthrottled = throttle::missing(kernel);
        if unthrottled.is_none() {
            kernel.attach(&mut object, &MOVES);
        }
        let mut sched = Self {
            control,
            host: Banked::take(&mut object, (NAME, "HOST"), HostBank::EMPTY)?,
            exited,
            throttled: Table::take(&mut object, (NAME, "THROTTLES"), ProcessThrottled::EMPTY)?,
            unthrottled,
            events: Events::take(&mut object, (NAME, "EVENTS"))?,
            object,
            cpus: kernel.cpus,
            bank: 0,
            unvisited,
            snapshot: Snapshot::default(),
            decoder: Decoder::new(kernel.cpus, unthrottled.is_none()),
        };
        // From now on latencies are recorded. What threads used until now is not reported.
        sched.end_tick()?;
        super::wait_for_programs()?;
        sched.snapshot()?;
        Ok(sched)
    }
}

impl Probe for Sched {
    fn object(&self) -> &Object {
        &self.object
    }

    fn skipped(&self, programs: &[(&str, ProgramStats)]) -> u64 {
        // Each recovers what the other misses. What both miss has no storage, and that is counted.
        let pair = ["task_newtask", "sched_process_fork"];
        pairs::misses(programs.iter().cloned(), |name| !pair.contains(&name))
    }

    fn end_tick(&mut self) -> Result<(), ProbeError> {
        set_bank(&mut self.control, self.bank ^ 1, self.unvisited.control())?;
        self.bank ^= 1;
        Ok(())
    }

    fn snapshot(&mut self) -> Result<(), ProbeError> {
        let ended = self.bank ^ 1;
        self.object.flush_log();
        // What is taken from the kernel is gone there: a step that fails must not lose what those
        // before it took, nor give it out twice.
        self.snapshot.clear();
        self.events.snapshot();
        pass(&mut self.object, &mut self.snapshot.records)?;
        let control = read_control(&self.control)?;
        self.snapshot.threads = control.threads;
        self.exited.drain(ended as u16, &mut self.snapshot.exited)?;
        self.snapshot.exited.retain(|(_, exited)| exited.threads > 0);
        self.throttled.drain(ended as u16, &mut self.snapshot.throttled)?;
        self.snapshot.throttled.retain(|(_, throttled)| throttled.sums[0] > 0);
        if !self.snapshot.throttled.is_empty() {
            self.object.attach_on_demand(&MOVES);
        }
        for cpu in 0..self.cpus {
            let index = ended * self.cpus + cpu;
            self.snapshot.cpus.push(self.host.drain(index)?);
        }
        let without = self.snapshot.cpus.iter().map(|cpu| cpu.without_storage);
        self.unvisited.tick(&control, without);
        Ok(())
    }

    fn decode(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        self.decoder.decode(&self.snapshot, sink);
    }

    fn events(&mut self, wanted: &dyn Fn(Kind) -> bool, sink: &mut dyn FnMut(Event)) {
        self.events.decode(wanted, &mut |latency, ()| self.decoder.among(latency), sink);
    }

    fn absent(&self) -> Vec<String> {
        let throttled = self.unthrottled.map(throttle::absent);
        self.unvisited.absent().into_iter().chain(throttled).collect()
    }

    fn entries(&self) -> Vec<MapEntries> {
        let threads = self.snapshot.threads;
        let exited = self.snapshot.exited.len() as u64;
        let throttled = self.snapshot.throttled.len() as u64;
        vec![
            MapEntries { map: "TASKS", entries: threads, storage_bytes: threads * TASK_BYTES },
            MapEntries { map: "EXITED", entries: exited, storage_bytes: 0 },
            MapEntries { map: "THROTTLES", entries: throttled, storage_bytes: 0 },
        ]
    }
}

/// Gives every thread that is already there its storage. A pass makes it faster than the kernel gets
/// new memory ready, so it may take some.
fn make_storage(
    object: &mut Object,
    control: &mut Array<MapData, Raw<Control>>,
    unvisited: &mut Unvisited,
) -> Result<(), ProbeError> {
    let mut missing = u64::MAX;
    for _ in 0..PASSES {
        set_bank(control, NO_BANK, unvisited.control())?;
        pass(object, &mut Vec::new())?;
        let met = read_control(control)?;
        unvisited.tick(&met, [].into_iter());
        missing = met.without_storage;
        if missing == 0 {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
    tracing::warn!(missing, "the kernel had no memory for some threads; every tick tries again");
    Ok(())
}

/// Has programs write to a bank from now on.
fn set_bank(
    control: &mut Array<MapData, Raw<Control>>,
    bank: u32,
    rest: Control,
) -> Result<(), ProbeError> {
    control.set(0, Raw(Control { bank: bank.into(), ..rest }), 0).map_err(control_error)
}

fn read_control(control: &Array<MapData, Raw<Control>>) -> Result<Control, ProbeError> {
    let value = control.get(&0, 0).map_err(control_error)?;
    Ok(value.0)
}

/// Runs the program over all tasks once, and keeps what it writes.
fn pass(object: &mut Object, records: &mut Vec<u8>) -> Result<(), ProbeError> {
    iter::over_all(object, PASS, records).map_err(|source| ProbeError::Pass {
        probe: NAME,
        pass: PASS,
        source,
    })
}

fn control_error(source: MapError) -> ProbeError {
    ProbeError::Map { probe: NAME, map: CONTROL, source }
}
