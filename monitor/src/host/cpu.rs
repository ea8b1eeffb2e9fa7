//! CPU time by mode, and threads that run or wait, from `/proc/stat`.

use std::time::{Duration, Instant};

use super::file::{ProcFile, numbers};
use super::{Emit, Error, HostPaths, Part};
use crate::metric;
use crate::sample::Attributes;

/// Modes in the order of [`Ticks`].
const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];

/// Where in [`MODES`] the one is that the kernel may take back any amount of: what a CPU has waited since
/// it became idle counts as idle once the I/O is over.
const IOWAIT: usize = 4;

/// What a tick is worth; the same on every architecture of Linux that Rust knows.
const TICKS_PER_SECOND: f64 = 100.0;

type Ticks = [u64; MODES.len()];

pub(super) struct Cpu {
    stat: ProcFile,
    cpus: Vec<One>,
    runnable: Option<u64>,
    blocked: Option<u64>,
    runnable_attributes: Attributes,
    blocked_attributes: Attributes,
}

/// One CPU.
struct One {
    number: u32,
    online: bool,
    ticks: Ticks,
    /// What was added last.
    added: Ticks,
    /// When it was read last, or a moment before.
    read: Instant,
    attributes: [Attributes; MODES.len()],
}

impl Cpu {
    pub(super) fn new(paths: &HostPaths) -> Self {
        let state = |state| Attributes::new([("monitor.thread.state", state)]);
        Self {
            stat: ProcFile::new(paths.proc.join("stat")),
            cpus: Vec::new(),
            runnable: None,
            blocked: None,
            runnable_attributes: state("runnable"),
            blocked_attributes: state("blocked"),
        }
    }
}

impl Part for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    fn refresh(&mut self) -> Result<(), Error> {
        self.cpus.iter_mut().for_each(|cpu| cpu.online = false);
        let begin = Instant::now();
        for line in self.stat.read()?.lines() {
            let Some((key, values)) = line.split_once(' ') else { continue };
            if let Some(number) = key.strip_prefix("cpu").and_then(|number| number.parse().ok()) {
                if let Some(ticks) = ticks(values) {
                    update(&mut self.cpus, number, ticks, begin);
                }
            } else if key == "procs_running" {
                self.runnable = values.parse().ok();
            } else if key == "procs_blocked" {
                self.blocked = values.parse().ok();
            }
        }
        match self.cpus.iter().any(|cpu| cpu.online) {
            true => Ok(()),
            false => Err(self.stat.lacks("line for a CPU")),
        }
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        let online = || self.cpus.iter().filter(|cpu| cpu.online);
        let none = Attributes::default();
        emit.gauge(&metric::SYSTEM_CPU_LOGICAL_COUNT, &none, online().count() as f64);
        for cpu in online() {
            let added: u64 = cpu.added.iter().sum();
            for (mode, attributes) in cpu.attributes.iter().enumerate() {
                let seconds = cpu.ticks[mode] as f64 / TICKS_PER_SECOND;
                emit.total(&metric::SYSTEM_CPU_TIME, attributes, seconds);
                if added > 0 {
                    let share = cpu.added[mode] as f64 / added as f64;
                    emit.gauge(&metric::SYSTEM_CPU_UTILIZATION, attributes, share);
                }
            }
        }
        let threads =
            [(self.runnable, &self.runnable_attributes), (self.blocked, &self.blocked_attributes)];
        for (count, attributes) in threads {
            if let Some(count) = count {
                emit.gauge(&metric::HOST_THREADS, attributes, count as f64);
            }
        }
    }
}

/// Reads the columns of a CPU. Those for guests are left out, as they are in `user` and `nice` too.
fn ticks(columns: &str) -> Option<Ticks> {
    let mut columns = numbers(columns);
    let mut next = || columns.next();
    let [user, nice, system, idle, iowait] = [next()?, next()?, next()?, next()?, next()?];
    let [hard, soft, steal] = [next()?, next()?, next()?];
    Some([user, nice, system, idle, iowait, hard + soft, steal])
}

/// Takes the columns of a CPU from a reading that began at `begin`.
fn update(cpus: &mut Vec<One>, number: u32, ticks: Ticks, begin: Instant) {
    let Some(cpu) = cpus.iter_mut().find(|cpu| cpu.number == number) else {
        cpus.push(One {
            number,
            online: true,
            ticks,
            added: Ticks::default(),
            read: begin,
            attributes: MODES.map(|mode| {
                let number = ("cpu.logical_number", number.to_string());
                Attributes::new([number, ("cpu.mode", mode.to_owned())])
            }),
        });
        return;
    };
    cpu.online = true;
    let is_reset = is_reset(&cpu.ticks, &ticks, cpu.read.elapsed());
    cpu.read = begin;
    for ((known, added), now) in cpu.ticks.iter_mut().zip(&mut cpu.added).zip(ticks) {
        if is_reset && now < *known {
            (*known, *added) = (now, now);
            continue;
        }
        // The kernel may take idle and iowait time back; a counter may not.
        *added = now.saturating_sub(*known);
        *known += *added;
    }
}

/// Whether counters of a CPU began at zero again after the reading before, `elapsed` ago: before Linux 6.9
/// those of idle and iowait time do when a CPU goes offline. One that did cannot have counted more since
/// than time has passed, which tells it from one that only took some time back.
fn is_reset(before: &Ticks, now: &Ticks, elapsed: Duration) -> bool {
    // A tick that was under way.
    let most = (elapsed.as_secs_f64() * TICKS_PER_SECOND) as u64 + 1;
    let mut modes = before.iter().zip(now).enumerate();
    modes.any(|(mode, (before, now))| mode != IOWAIT && now < before && *now <= most)
}

#[cfg(test)]
mod tests;
