//! Programs at software events, of which the kernel has one for each CPU.

use aya::{
    Ebpf,
    programs::{
        PerfEvent, ProgramError,
        perf_event::{PerfEventConfig, PerfEventLinkId, PerfEventScope, SamplePolicy},
    },
    util::online_cpus,
};

use super::attach::SoftwareEvent;

/// The programs that run on each CPU that is online. The event of a CPU ends when that goes offline, and
/// does not come back with it.
#[derive(Default)]
pub(super) struct OnCpus {
    programs: Vec<(&'static str, SoftwareEvent)>,
    /// The CPUs that programs are attached on, all on the same.
    cpus: Vec<u32>,
    links: Vec<Link>,
}

struct Link {
    cpu: u32,
    program: &'static str,
    id: PerfEventLinkId,
}

impl OnCpus {
    /// Runs a program at every occurrence of an event on any CPU that is online.
    pub(super) fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        name: &'static str,
        event: SoftwareEvent,
    ) -> Result<(), ProgramError> {
        program(ebpf, name)?.load()?;
        if self.programs.is_empty() {
            self.cpus = online_cpus().map_err(|(_, error)| ProgramError::IOError(error))?;
        }
        for cpu in self.cpus.clone() {
            self.attach_on(ebpf, (name, event), cpu)?;
        }
        self.programs.push((name, event));
        Ok(())
    }

    /// Attaches what is attached elsewhere on CPUs that have come online, in the same order.
    pub(super) fn follow(&mut self, ebpf: &mut Ebpf) {
        if self.programs.is_empty() {
            return;
        }
        let Ok(online) = online_cpus() else { return };
        if online == self.cpus {
            return;
        }
        for gone in self.links.extract_if(.., |link| !online.contains(&link.cpu)) {
            // Without its event a link does nothing.
            let _ = program(ebpf, gone.program).and_then(|program| program.detach(gone.id));
        }
        let new = online.iter().filter(|cpu| !self.cpus.contains(cpu)).copied().collect::<Vec<_>>();
        for cpu in new {
            for hook in self.programs.clone() {
                if let Err(error) = self.attach_on(ebpf, hook, cpu) {
                    tracing::warn!(program = hook.0, cpu, "cannot attach on a new CPU: {error}");
                }
            }
        }
        self.cpus = online;
    }

    fn attach_on(
        &mut self,
        ebpf: &mut Ebpf,
        (name, event): (&'static str, SoftwareEvent),
        cpu: u32,
    ) -> Result<(), ProgramError> {
        let scope = PerfEventScope::AllProcessesOneCpu { cpu };
        let config = PerfEventConfig::Software(event);
        let id = program(ebpf, name)?.attach(config, scope, SamplePolicy::Period(1), false)?;
        self.links.push(Link { cpu, program: name, id });
        Ok(())
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut PerfEvent, ProgramError> {
    ebpf.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}
