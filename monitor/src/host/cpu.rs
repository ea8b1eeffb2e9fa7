//! CPU time by mode, and threads that run or wait, from `/proc/stat`.

use super::file::{ProcFile, numbers};
use super::{Emit, Error, HostPaths, Part};
use crate::metric;
use crate::sample::Attributes;

/// Modes in the order of [`Ticks`].
const MODES: [&str; 7] = ["user", "nice", "system", "idle", "iowait", "interrupt", "steal"];

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
        for line in self.stat.read()?.lines() {
            let Some((key, values)) = line.split_once(' ') else { continue };
            if let Some(number) = key.strip_prefix("cpu").and_then(|number| number.parse().ok()) {
                if let Some(ticks) = ticks(values) {
                    update(&mut self.cpus, number, ticks);
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

fn update(cpus: &mut Vec<One>, number: u32, ticks: Ticks) {
    let Some(cpu) = cpus.iter_mut().find(|cpu| cpu.number == number) else {
        cpus.push(One {
            number,
            online: true,
            ticks,
            added: Ticks::default(),
            attributes: MODES.map(|mode| {
                let number = ("cpu.logical_number", number.to_string());
                Attributes::new([number, ("cpu.mode", mode.to_owned())])
            }),
        });
        return;
    };
    cpu.online = true;
    for ((known, added), now) in cpu.ticks.iter_mut().zip(&mut cpu.added).zip(ticks) {
        // The kernel may take idle and iowait time back; a counter may not.
        *added = now.saturating_sub(*known);
        *known += *added;
    }
}

#[cfg(test)]
mod tests;
