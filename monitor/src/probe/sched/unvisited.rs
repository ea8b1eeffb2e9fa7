//! Processes that the kernel leaves out of its passes, so that their threads never get storage.

use std::fs;

use monitor_common::sched::Control;

/// The process that a sandbox hides, where there is one: its first.
const FIRST: u64 = 1;

/// Finds one.
pub(super) struct Unvisited {
    suspect: u64,
    found: Option<(u64, String)>,
}

impl Unvisited {
    /// Nothing is known; [`FIRST`] is looked for in the first pass, before anything is counted.
    pub(super) fn new() -> Self {
        Self { suspect: FIRST, found: None }
    }

    /// Takes what the tick has shown: what the pass met, and which processes had threads without storage.
    /// The pass gives storage to every thread that it meets. So a process that had none in one tick, still
    /// exists and was not met at all in the next pass, is left out.
    pub(super) fn tick(&mut self, control: &Control, mut without: impl Iterator<Item = u64>) {
        // Its id may be another's by now.
        self.found.take_if(|(process, known)| name(*process).as_ref() != Some(known));
        if self.found.is_some() {
            return;
        }
        let was_met = control.suspect == 0 || control.suspects_met > 0;
        if !was_met && let Some(name) = name(control.suspect) {
            tracing::warn!(
                pid = control.suspect,
                name,
                "threads of this process are not measured: the kernel's task iterator omits it"
            );
            self.found = Some((control.suspect, name));
        }
        self.suspect = without.find(|&process| process != 0).unwrap_or(0);
    }

    /// What programs shall look for from now on.
    pub(super) fn control(&self) -> Control {
        let unvisited = self.found.as_ref().map_or(0, |(process, _)| *process);
        Control { suspect: self.suspect, unvisited, ..Control::default() }
    }

    /// What is not measured for that reason.
    pub(super) fn absent(&self) -> Option<String> {
        self.found.as_ref().map(|(process, name)| {
            format!(
                "threads of process {process} ({name}) not measured by sched: the kernel leaves them out \
                 of its task iterator"
            )
        })
    }
}

/// The name of a process that exists.
fn name(process: u64) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(name.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_exists_and_is_not_met_is_named_once() {
        let own: u64 = std::process::id().into();
        let mut unvisited = Unvisited::new();
        assert_eq!((unvisited.control().suspect, unvisited.control().unvisited), (FIRST, 0));
        unvisited.tick(&Control::default(), [0, own].into_iter());
        assert_eq!((unvisited.control().suspect, unvisited.control().unvisited), (own, 0));
        assert_eq!(unvisited.absent(), None);
        // It was met: it had no storage for a moment.
        let met = Control { suspects_met: 1, ..unvisited.control() };
        unvisited.tick(&met, [own].into_iter());
        assert_eq!(unvisited.absent(), None);
        // It has ended.
        let gone = Control { suspect: 1 << 31, ..Control::default() };
        unvisited.tick(&gone, [own].into_iter());
        assert_eq!(unvisited.absent(), None);
        unvisited.tick(&unvisited.control(), [].into_iter());
        assert_eq!(unvisited.control().unvisited, own);
        assert!(unvisited.absent().unwrap().starts_with(&format!("threads of process {own} (")));
    }
}
