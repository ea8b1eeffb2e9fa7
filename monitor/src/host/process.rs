//! Processes by state, from `/proc/<pid>/stat`.
//!
//! Not by sysinfo, which reads our own PID namespace and keeps a kilobyte or more about each
//! process. `/proc/stat` and `/proc/loadavg` know only threads, and no state but running and
//! blocked.

use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Emit, Error, HostPaths, Part};
use crate::metric;
use crate::sample::Attributes;

/// The least time between two counts.
const INTERVAL: Duration = Duration::from_secs(15);
/// How many times as long as the last count took the next one waits: 0.05 % of a CPU.
const SHARE: u32 = 2000;

pub(super) struct Processes {
    proc: PathBuf,
    interval: Duration,
    states: [State; 4],
}

struct State {
    /// As `/proc/<pid>/stat` has them.
    letters: &'static [u8],
    count: u64,
    attributes: Attributes,
}

impl Processes {
    pub(super) fn new(paths: &HostPaths) -> Self {
        let state = |name, letters| State {
            letters,
            count: 0,
            attributes: Attributes::new([("process.state", name)]),
        };
        Self {
            proc: paths.proc.clone(),
            interval: INTERVAL,
            // The conventions have no word for the kernel's rarer states: they sleep too.
            states: [
                state("running", b"R"),
                state("stopped", b"Tt"),
                state("defunct", b"ZXx"),
                state("sleeping", b"SDIKWP"),
            ],
        }
    }
}

impl Part for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn interval(&self) -> Duration {
        self.interval
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let started = Instant::now();
        self.states.iter_mut().for_each(|state| state.count = 0);
        let entries = fs::read_dir(&self.proc)
            .map_err(|source| Error::Read { path: self.proc.clone(), source })?;
        let mut path = self.proc.clone();
        for entry in entries.flatten() {
            let pid = entry.file_name();
            if !pid.as_encoded_bytes().iter().all(u8::is_ascii_digit) {
                continue;
            }
            path.push(&pid);
            path.push("stat");
            // A process that is gone by now is not one to count.
            let letter = fs::File::open(&path).ok().and_then(state_letter);
            path.pop();
            path.pop();
            for state in &mut self.states {
                state.count += u64::from(letter.is_some_and(|it| state.letters.contains(&it)));
            }
        }
        self.interval = INTERVAL.max(started.elapsed() * SHARE);
        Ok(())
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        for state in &self.states {
            emit.gauge(&metric::SYSTEM_PROCESS_COUNT, &state.attributes, state.count as f64);
        }
    }
}

/// The letter after the command name, which is in parentheses and may have some in it. Both are
/// within the first few bytes.
fn state_letter(mut stat: fs::File) -> Option<u8> {
    let mut start = [0; 128];
    let length = stat.read(&mut start).ok()?;
    let start = &start[..length];
    let name_end = start.iter().rposition(|byte| *byte == b')')?;
    start.get(name_end + 2).copied()
}

#[cfg(test)]
mod tests;
