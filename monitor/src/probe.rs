//! Probes: one subsystem's kernel programs plus their userspace half.
//!
//! A tick has two steps for every probe: [`Probe::snapshot`] copies what the kernel recorded, with no
//! thought given to it, and [`Probe::decode`] turns the copy into samples, with no more input or
//! output.

mod banked;
mod banks;
mod block;
mod cgroup;
mod events;
mod faults;
mod ledger;
mod maps;
mod memory;
mod net;
mod pairs;
mod per_process;
mod process;
mod sched;
mod scratch;
mod stalls;
mod table;
#[cfg(test)]
mod testing;

use std::time::Duration;

use crate::{
    error::chain,
    event::{Event, Kind},
    kernel::{
        attach::{Hook, Verdict},
        iter::PassError,
        loader::{Kernel, LoadError, Object},
        stats::{Accounts, ProgramStats},
    },
    metric::MetricDesc,
    sample::{CgroupChange, Sample},
};

pub use self::cgroup::Creations;
pub use crate::kernel::grace::wait_for_programs;

/// The table of probes. Configuration keys, reports and status derive from it.
pub static PROBES: &[ProbeDesc] =
    &[sched::DESC, block::DESC, net::DESC, process::DESC, memory::DESC, faults::DESC, cgroup::DESC];

/// What a probe is, before it is loaded.
pub struct ProbeDesc {
    /// Its name: that of its ELF file, of its switch in the configuration, and in reports.
    pub name: &'static str,
    /// What it measures.
    pub help: &'static str,
    /// The metrics that it alone measures.
    pub metrics: &'static [&'static MetricDesc],
    /// The hooks it wants.
    pub hooks: &'static [Hook],
    /// Whether it runs unless it is asked not to; otherwise only when it is asked to.
    pub is_default: bool,
    /// From when on its latencies are told one by one, unless something else is asked for; nothing where
    /// it has none.
    pub slow: Option<Duration>,
    /// Loads and attaches it.
    pub load: fn(&Kernel) -> Result<Box<dyn Probe>, ProbeError>,
}

/// A loaded probe.
pub trait Probe: Send {
    /// Its programs and maps.
    fn object(&self) -> &Object;

    /// What came of its hooks.
    fn verdicts(&self) -> &[Verdict] {
        &self.object().verdicts
    }

    /// What its programs and maps cost.
    fn accounts(&self) -> &Accounts {
        &self.object().accounts
    }

    /// Events that no program saw, as the kernel skips a program that is running already on the same CPU.
    fn skipped(&self, programs: &[(&str, ProgramStats)]) -> u64 {
        pairs::misses(programs.iter().cloned(), |_| true)
    }

    /// Ends a tick in the kernel: from now on programs write elsewhere, and once those that are
    /// running have ended the tick's records can be taken.
    fn end_tick(&mut self) -> Result<(), ProbeError>;

    /// Takes the records of the tick that was ended.
    fn snapshot(&mut self) -> Result<(), ProbeError>;

    /// Decodes the last snapshot.
    fn decode(&mut self, sink: &mut dyn FnMut(Sample<'_>));

    /// Decodes what the last snapshot has of single things that happened, of the kinds that are wanted.
    fn events(&mut self, _wanted: &dyn Fn(Kind) -> bool, _sink: &mut dyn FnMut(Event)) {}

    /// What is not measured, beside what hooks are missing for.
    fn absent(&self) -> Vec<String> {
        Vec::new()
    }

    /// Decodes which cgroups were created and removed until the last snapshot, in that order.
    fn cgroups(&self, _sink: &mut dyn FnMut(CgroupChange<'_>)) {}

    /// Cgroups as they are created; for the first who asks.
    fn creations(&mut self) -> Option<Creations> {
        None
    }

    /// How full maps are that can be full, from the last snapshot.
    fn entries(&self) -> Vec<MapEntries>;
}

/// How full a map is.
#[derive(Clone, Copy, Debug)]
pub struct MapEntries {
    /// The map.
    pub map: &'static str,
    /// Entries in use.
    pub entries: u64,
    /// Memory of storage that is kept with its owners, where the kernel does not count it as the
    /// map's.
    pub storage_bytes: u64,
}

/// Fails when a hook is missing that cannot be done without.
fn require(
    probe: &'static str,
    hooks: &'static [Hook],
    verdicts: &[Verdict],
) -> Result<(), ProbeError> {
    let needed = |verdict: &&Verdict| {
        let mut hooks = hooks.iter().filter(|hook| hook.without.is_none());
        hooks.any(|hook| hook.name == verdict.hook)
    };
    match verdicts.iter().filter(needed).find(|verdict| !verdict.state.is_attached()) {
        None => Ok(()),
        Some(verdict) => Err(ProbeError::Hook {
            probe,
            hook: verdict.hook,
            reason: verdict.state.to_string(),
            verdicts: verdicts.to_vec(),
        }),
    }
}

/// Why a probe does not work.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// It could not be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A hook it cannot do without is missing.
    #[error("the {probe} probe cannot work without {hook}: {reason}; see `monitor check`")]
    Hook {
        /// The probe.
        probe: &'static str,
        /// The hook.
        hook: &'static str,
        /// The kernel's reason.
        reason: String,
        /// What came of all hooks that were tried.
        verdicts: Vec<Verdict>,
    },
    /// A map could not be read or written.
    #[error("cannot use the map {map} of the {probe} probe: {}; restart monitor", chain(source))]
    Map {
        /// The probe.
        probe: &'static str,
        /// The map.
        map: &'static str,
        /// The cause.
        source: aya::maps::MapError,
    },
    /// It cannot be known when programs have ended.
    #[error("cannot wait for running programs: {0}; restart monitor")]
    Wait(#[from] std::io::Error),
    /// A pass over all tasks or sockets failed.
    #[error("cannot run {pass} of the {probe} probe: {source}; restart monitor")]
    Pass {
        /// The probe.
        probe: &'static str,
        /// The pass.
        pass: &'static str,
        /// The cause.
        source: PassError,
    },
}
