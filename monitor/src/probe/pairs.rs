//! Events that two programs at one tracepoint count once; see `monitor-ebpf/src/pair.rs`.

use crate::kernel::stats::{Accounts, ProgramStats};

/// The first and the second program of each tracepoint.
pub(super) type Names = &'static [[&'static str; 2]];

/// What neither of two programs counted.
pub(super) struct Pairs {
    names: Names,
    /// Events that second programs recovered, since the probe was loaded.
    recovered: i64,
    /// How often first programs had been skipped at the last tick.
    skipped: u64,
    /// What seemed to be lost at the last tick.
    missing: u64,
    lost: u64,
}

impl Pairs {
    /// For a probe that was just loaded.
    pub(super) fn new(names: Names) -> Self {
        Self { names, recovered: 0, skipped: 0, missing: 0, lost: 0 }
    }

    /// Adds what second programs recovered in the tick that was ended.
    ///
    /// An event that the first program was skipped for is with its second one a moment later, or much
    /// later when its task is preempted in between. So what was skipped until the last tick is compared
    /// with what was recovered until this one; and what the first program left to the second in one tick may
    /// be recovered in the next, so only what is missing in two is lost.
    pub(super) fn tick(&mut self, recovered: i64, accounts: &Accounts) {
        self.recovered += recovered;
        let missing = (self.skipped as i64 - self.recovered).max(0) as u64;
        self.lost = self.lost.max(missing.min(self.missing));
        self.missing = missing;
        let first = |name: &str| self.names.iter().any(|[first, _]| *first == name);
        if !self.names.is_empty() {
            self.skipped = misses(accounts.programs(), first);
        }
    }

    /// Events that no program saw.
    pub(super) fn lost<'a>(
        &self,
        programs: impl IntoIterator<Item = (&'a str, ProgramStats)>,
    ) -> u64 {
        let of_pair = |name: &str| self.names.iter().any(|pair| pair.contains(&name));
        self.lost + misses(programs, |name| !of_pair(name))
    }
}

/// How often programs were skipped as they were running already, of those with names that are wanted.
pub(super) fn misses<'a>(
    programs: impl IntoIterator<Item = (&'a str, ProgramStats)>,
    wanted: impl Fn(&str) -> bool,
) -> u64 {
    let wanted = programs.into_iter().filter(|(name, _)| wanted(name));
    wanted.map(|(_, stats)| stats.recursion_misses).sum()
}
