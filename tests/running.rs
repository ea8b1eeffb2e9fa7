//! A probe, run as the daemon runs it.

use monitor::{
    event::Event,
    kernel::loader::Kernel,
    probe::{PROBES, Probe, wait_for_programs},
    sample::Sample,
};

/// A running probe.
pub struct Running(Box<dyn Probe>);

impl Running {
    /// Loads and attaches the probe called `name`.
    pub fn start(kernel: &Kernel, name: &str) -> Self {
        let desc = PROBES.iter().find(|probe| probe.name == name).expect("there is such a probe");
        Self((desc.load)(kernel).unwrap_or_else(|error| panic!("{error}")))
    }

    /// Fails unless all its hooks are attached.
    pub fn check_attached(&self) {
        for verdict in self.0.verdicts() {
            assert!(verdict.state.is_attached(), "{}: {}", verdict.hook, verdict.state);
        }
    }

    /// Ends a tick, and hands on what was recorded in it.
    pub fn tick(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        self.0.end_tick().unwrap_or_else(|error| panic!("{error}"));
        wait_for_programs().unwrap_or_else(|error| panic!("{error}"));
        self.0.snapshot().unwrap_or_else(|error| panic!("{error}"));
        self.0.decode(sink);
    }

    /// Hands on what happened in the last tick.
    pub fn events(&mut self, sink: &mut dyn FnMut(Event)) {
        self.0.events(&|_| true, sink);
    }

    /// Events that no program saw, as the kernel skipped those that were running already, until now.
    pub fn recursion_misses(&self) -> u64 {
        self.0.skipped(&self.0.accounts().programs().collect::<Vec<_>>())
    }

    /// How often the kernel skipped programs that were running already, until now.
    pub fn skipped_runs(&self) -> u64 {
        self.0.accounts().programs().map(|(_, stats)| stats.recursion_misses).sum()
    }
}
