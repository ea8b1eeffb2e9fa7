//! The probes of the table: loading them, turning them on and off, and how they do.

use super::heap;
use crate::{
    attribution::{CgroupMount, Hierarchy},
    config::Config,
    error::chain,
    kernel::{
        attach::Verdict,
        loader::{Kernel, LoadError},
    },
    probe::{PROBES, Probe, ProbeDesc, ProbeError},
    view::{ProbeState, ProbeStatus},
};

/// A probe of the table, with what came of loading it.
pub struct Loaded {
    /// Its entry.
    pub desc: &'static ProbeDesc,
    state: State,
    /// Why it could not be read in the last tick.
    failure: Option<String>,
    /// How many slow latencies were not told, as there were slower ones.
    pub(super) suppressed: u64,
}

/// What came of loading a probe.
enum State {
    /// It is not to run.
    Disabled,
    /// It does not work: why, and what came of the hooks that were tried.
    Failed(String, Vec<Verdict>),
    /// It runs.
    Runs(Box<dyn Probe>),
}

impl Loaded {
    /// The probe, if it works.
    pub fn probe(&self) -> Option<&dyn Probe> {
        match &self.state {
            State::Runs(probe) => Some(probe.as_ref()),
            _ => None,
        }
    }

    pub(super) fn probe_mut(&mut self) -> Option<&mut Box<dyn Probe>> {
        match &mut self.state {
            State::Runs(probe) => Some(probe),
            _ => None,
        }
    }

    /// Whether it is to run.
    fn is_enabled(&self) -> bool {
        !matches!(self.state, State::Disabled)
    }

    /// How it does; `deviation` is what the self-audit found wrong with what it counts.
    pub fn status(&self, deviation: Option<String>) -> ProbeStatus {
        let (state, reason, hooks) = match &self.state {
            State::Disabled => (ProbeState::Disabled, None, Vec::new()),
            State::Failed(reason, hooks) => {
                (ProbeState::Failed, Some(reason.clone()), hooks.clone())
            }
            State::Runs(probe) => {
                let hooks = probe.verdicts();
                let missing = hooks.iter().find(|hook| hook.state.is_missing());
                let (state, reason) = match (&self.failure, missing) {
                    (Some(reason), _) => (ProbeState::Failed, Some(reason.clone())),
                    (None, Some(hook)) => {
                        (ProbeState::Degraded, Some(format!("{}: {}", hook.hook, hook.state)))
                    }
                    (None, None) if deviation.is_some() => (ProbeState::Degraded, deviation),
                    (None, None) => (ProbeState::Active, None),
                };
                (state, reason, hooks.to_vec())
            }
        };
        ProbeStatus { probe: self.desc.name, state, reason, hooks }
    }

    /// Does a part of a tick, and says why it failed. It is tried again in the next tick: the kernel
    /// goes on recording.
    pub(super) fn attempt(
        &mut self,
        step: impl FnOnce(&mut dyn Probe) -> Result<(), ProbeError>,
    ) -> Option<String> {
        step(self.probe_mut()?.as_mut()).err().map(|error| chain(&error))
    }

    /// Notes how the tick went, and logs when that changes.
    pub(super) fn note(&mut self, failure: Option<String>) {
        match (&self.failure, &failure) {
            (None, Some(reason)) => tracing::error!(probe = self.desc.name, "{reason}"),
            (Some(_), None) => tracing::info!(probe = self.desc.name, "works again"),
            _ => {}
        }
        self.failure = failure;
    }
}

/// Loads the probes that are configured to run. `mount` is where cgroups tell processes apart.
pub fn load_probes(config: &Config, mount: Option<&CgroupMount>) -> Vec<Loaded> {
    let kernel = read_kernel(config, mount);
    let probes = PROBES.iter().map(|desc| load_probe(desc, config.runs(desc.name), &kernel));
    let probes = probes.collect();
    drop(kernel);
    heap::give_back();
    probes
}

fn read_kernel(config: &Config, mount: Option<&CgroupMount>) -> Result<Kernel, LoadError> {
    let controller = mount.and_then(|mount| match mount.hierarchy {
        Hierarchy::V2 => None,
        Hierarchy::V1 { controller } => Some(controller),
    });
    let mut kernel = Kernel::read(controller, config.log.bpf)?;
    kernel.sys = config.host.paths().sys;
    kernel.slow = config.events.thresholds();
    Ok(kernel)
}

/// Turns probes on and off as the configuration says. Returns those that changed.
pub(super) fn switch_probes(
    probes: &mut [Loaded],
    config: &Config,
    mount: Option<&CgroupMount>,
) -> Vec<&'static ProbeDesc> {
    let changed =
        probes.iter_mut().filter(|loaded| config.runs(loaded.desc.name) != loaded.is_enabled());
    let mut changed: Vec<_> = changed.collect();
    if changed.is_empty() {
        return Vec::new();
    }
    let kernel = read_kernel(config, mount);
    for loaded in &mut changed {
        **loaded = load_probe(loaded.desc, config.runs(loaded.desc.name), &kernel);
    }
    drop(kernel);
    heap::give_back();
    changed.into_iter().map(|loaded| loaded.desc).collect()
}

fn load_probe(desc: &'static ProbeDesc, runs: bool, kernel: &Result<Kernel, LoadError>) -> Loaded {
    let loaded = |state| Loaded { desc, state, failure: None, suppressed: 0 };
    if !runs {
        return loaded(State::Disabled);
    }
    let (reason, hooks) = match kernel.as_ref().map(|kernel| (desc.load)(kernel)) {
        Ok(Ok(probe)) => return loaded(State::Runs(probe)),
        Ok(Err(error)) => {
            let reason = error.to_string();
            match error {
                ProbeError::Hook { verdicts, .. } => (reason, verdicts),
                _ => (reason, Vec::new()),
            }
        }
        Err(error) => (error.to_string(), Vec::new()),
    };
    tracing::error!(probe = desc.name, "{reason}");
    loaded(State::Failed(reason, hooks))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        kernel::{attach::HookState, loader::Object},
        probe::MapEntries,
        sample::Sample,
    };

    /// A probe with one hook.
    struct Fake([Verdict; 1]);

    impl Probe for Fake {
        fn object(&self) -> &Object {
            unreachable!("it has no programs");
        }

        fn verdicts(&self) -> &[Verdict] {
            &self.0
        }

        fn end_tick(&mut self) -> Result<(), ProbeError> {
            Ok(())
        }

        fn snapshot(&mut self) -> Result<(), ProbeError> {
            // As a hook does that is attached once it is needed.
            self.0[0].state =
                HookState::Failed { reason: "too late".to_owned(), verifier: Vec::new() };
            Ok(())
        }

        fn decode(&mut self, _sink: &mut dyn FnMut(Sample<'_>)) {}

        fn entries(&self) -> Vec<MapEntries> {
            Vec::new()
        }
    }

    #[test]
    fn a_probe_does_as_its_hooks_do_now() {
        let attached = HookState::Attached { by: "tp_btf/hook, when needed".to_owned() };
        let probe = Fake([Verdict { hook: "hook", state: attached, without: None }]);
        let state = State::Runs(Box::new(probe));
        let mut loaded = Loaded { desc: &PROBES[0], state, failure: None, suppressed: 0 };
        assert_eq!(loaded.status(None).state, ProbeState::Active);
        assert_eq!(loaded.attempt(|probe| probe.snapshot()), None);
        let status = loaded.status(None);
        assert_eq!(status.state, ProbeState::Degraded);
        assert_eq!(status.reason.as_deref(), Some("hook: failed: too late"));
        assert!(status.hooks[0].state.is_missing());
        loaded.note(Some("cannot read".to_owned()));
        assert_eq!(loaded.status(None).state, ProbeState::Failed);
        loaded.note(None);
        assert_eq!(loaded.status(None).state, ProbeState::Degraded);
    }
}
