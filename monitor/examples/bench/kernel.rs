//! Programs in the kernel.

use std::{
    fs, ptr, thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use monitor::{
    kernel::{
        attach::{Alternative, Hook, Target},
        loader::{BpfLevel, Kernel, Setup},
    },
    metric::PROCESS_RUNQUEUE_LATENCY,
    probe::{self, PROBES},
};

/// A hook at a tracepoint, with a program of the same name.
const fn tracepoint(name: &'static str, alternatives: &'static [Alternative]) -> Hook {
    Hook { name, alternatives, without: None }
}

/// The empty programs.
static EMPTY: [Hook; 5] = [
    tracepoint(
        "sched_switch",
        &[Alternative { program: "sched_switch", target: Target::TpBtf("sched_switch") }],
    ),
    tracepoint(
        "sched_wakeup",
        &[Alternative { program: "sched_wakeup", target: Target::TpBtf("sched_wakeup") }],
    ),
    tracepoint(
        "sched_wakeup_new",
        &[Alternative { program: "sched_wakeup_new", target: Target::TpBtf("sched_wakeup_new") }],
    ),
    tracepoint(
        "sock_send_length",
        &[Alternative { program: "sock_send_length", target: Target::TpBtf("sock_send_length") }],
    ),
    tracepoint(
        "sock_recv_length",
        &[Alternative { program: "sock_recv_length", target: Target::TpBtf("sock_recv_length") }],
    ),
];

/// The daemon's interval.
const TICK: Duration = Duration::from_secs(1);

/// Attaches the empty programs until it is ended.
pub(crate) fn empty(path: &str) -> Result<()> {
    let kernel = Kernel::read(None, BpfLevel::Off)?;
    let elf = fs::read(path).with_context(|| format!("cannot read {path}"))?;
    let mut object = kernel.load("empty", &elf, &Setup::default())?;
    for hook in &EMPTY {
        if !kernel.attach(&mut object, hook) {
            bail!("cannot attach an empty program: {:?}", object.verdicts.last());
        }
    }
    println!("ready");
    loop {
        thread::park();
    }
}

/// Prints for each pass how many seconds it took, over how many threads, and how many of them had run
/// since the last.
pub(crate) fn pass(count: u32) -> Result<()> {
    let kernel = Kernel::read(None, BpfLevel::Off)?;
    let sched = PROBES.iter().find(|probe| probe.name == "sched").context("no sched probe")?;
    let mut probe = (sched.load)(&kernel)?;
    for _ in 0..count {
        thread::sleep(TICK);
        probe.end_tick()?;
        probe::wait_for_programs()?;
        let begin = Instant::now();
        probe.snapshot()?;
        let took = begin.elapsed();
        let mut changed = 0;
        probe.decode(&mut |sample| {
            changed += u64::from(ptr::eq(sample.metric, &PROCESS_RUNQUEUE_LATENCY));
        });
        let threads =
            probe.entries().iter().find(|map| map.map == "TASKS").map_or(0, |m| m.entries);
        println!("{} {threads} {changed}", took.as_secs_f64());
    }
    Ok(())
}
