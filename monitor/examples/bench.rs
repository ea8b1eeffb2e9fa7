//! What `cargo xtask bench` loads into the kernel besides the daemon, with the daemon's own library:
//! `bench empty OBJECT` attaches the empty programs until it is ended, and `bench pass COUNT` runs the
//! `sched` probe and tells how long each of its snapshots takes.

use std::{
    env, fs, thread,
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
static EMPTY: [Hook; 3] = [
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
];

/// The daemon's interval.
const TICK: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let kernel = Kernel::read(None, BpfLevel::Off)?;
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["empty", object] => empty(&kernel, object),
        ["pass", count] => pass(&kernel, count.parse().context("COUNT is a number")?),
        _ => bail!("usage: bench empty OBJECT | bench pass COUNT"),
    }
}

fn empty(kernel: &Kernel, path: &str) -> Result<()> {
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
fn pass(kernel: &Kernel, count: u32) -> Result<()> {
    let sched = PROBES.iter().find(|probe| probe.name == "sched").context("no sched probe")?;
    let mut probe = (sched.load)(kernel)?;
    for _ in 0..count {
        thread::sleep(TICK);
        probe.end_tick()?;
        probe::wait_for_programs();
        let begin = Instant::now();
        probe.snapshot()?;
        let took = begin.elapsed();
        let mut changed = 0;
        probe.decode(&mut |sample| {
            changed += u64::from(std::ptr::eq(sample.metric, &PROCESS_RUNQUEUE_LATENCY));
        });
        let threads =
            probe.entries().iter().find(|map| map.map == "TASKS").map_or(0, |m| m.entries);
        println!("{} {threads} {changed}", took.as_secs_f64());
    }
    Ok(())
}
