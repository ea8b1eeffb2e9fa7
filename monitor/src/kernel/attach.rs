//! Hooks: where programs attach, in what order alternatives are tried, and what came of it.

use std::fmt;

use aya::{
    Btf, Ebpf,
    programs::{Program, ProgramError},
};
use serde::Serialize;

pub use aya::programs::perf_event::SoftwareEvent;

use super::on_cpus::OnCpus;
use crate::error::chain;

/// A place that a probe wants to attach to.
#[derive(Debug)]
pub struct Hook {
    /// What the hook is called in reports.
    pub name: &'static str,
    /// Programs for it, best first; the first that the kernel takes is used.
    pub alternatives: &'static [Alternative],
    /// What is not measured without it; `None` when the probe cannot work at all.
    pub without: Option<&'static str>,
}

/// One way to attach to a hook.
#[derive(Debug)]
pub struct Alternative {
    /// Name of the program in its ELF file.
    pub program: &'static str,
    /// How, and to what.
    pub target: Target,
}

/// How a program attaches, and to what.
#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// A tracepoint, with typed arguments.
    TpBtf(&'static str),
    /// A tracepoint too; it is only loaded here, and attached once it is needed.
    TpBtfOnDemand(&'static str),
    /// The beginning of a function, with typed arguments.
    FEntry(&'static str),
    /// The end of a function, with typed arguments.
    FExit(&'static str),
    /// Something that the kernel counts, each time it does, on the CPUs that are there now.
    Software(SoftwareEvent),
    /// An iterator; it is only loaded here, and attached anew for each pass.
    Iter(&'static str),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TpBtf(name) => write!(f, "tp_btf/{name}"),
            Self::FEntry(name) => write!(f, "fentry/{name}"),
            Self::FExit(name) => write!(f, "fexit/{name}"),
            Self::TpBtfOnDemand(name) => write!(f, "tp_btf/{name}, when needed"),
            Self::Software(event) => write!(f, "perf_event/{event:?}"),
            Self::Iter(name) => write!(f, "iter/{name}"),
        }
    }
}

/// A hook with one program, and what is not measured without it.
macro_rules! hook {
    ($name:literal, $program:literal, $target:expr, $without:expr) => {
        $crate::kernel::attach::Hook {
            name: $name,
            alternatives: &[$crate::kernel::attach::Alternative {
                program: $program,
                target: $target,
            }],
            without: $without,
        }
    };
}

pub(crate) use hook;

/// A hook at a tracepoint, with a program of the same name, and what is not measured without it. With one more name
/// the first is that of the program.
macro_rules! tracepoint {
    ($name:literal, $without:expr) => {
        tracepoint!($name, $name, $without)
    };
    ($program:literal, $tracepoint:literal, $without:expr) => {
        $crate::kernel::attach::hook!(
            $program,
            $program,
            $crate::kernel::attach::Target::TpBtf($tracepoint),
            $without
        )
    };
}

pub(crate) use tracepoint;

/// A hook at the end of a function, with a program of the function's name.
macro_rules! fexit {
    ($name:literal, $function:literal, $without:expr) => {
        $crate::kernel::attach::hook!(
            $name,
            $function,
            $crate::kernel::attach::Target::FExit($function),
            $without
        )
    };
}

pub(crate) use fexit;

/// What came of a hook.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The hook.
    pub hook: &'static str,
    /// Whether and how it is attached.
    #[serde(flatten)]
    pub state: HookState,
    /// What is not measured for want of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without: Option<&'static str>,
}

impl Verdict {
    pub(super) fn new(hook: &'static Hook, state: HookState) -> Self {
        let without = if state.is_attached() { None } else { hook.without };
        Self { hook: hook.name, state, without }
    }
}

/// Whether and how a hook is attached.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum HookState {
    /// Attached.
    Attached {
        /// By what.
        by: String,
    },
    /// The kernel does not have what it takes.
    Unsupported {
        /// The kernel's reason.
        reason: String,
    },
    /// No kernel built like this one has it.
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The kernel has it and refused.
    Failed {
        /// The kernel's reason.
        reason: String,
        /// The last lines of the verifier.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        verifier: Vec<String>,
    },
}

impl HookState {
    /// Whether the hook works.
    pub fn is_attached(&self) -> bool {
        matches!(self, Self::Attached { .. })
    }

    /// Whether the hook works by this target.
    pub fn is_attached_by(&self, target: &Target) -> bool {
        matches!(self, Self::Attached { by } if *by == target.to_string())
    }

    /// Whether it would work on a newer kernel, or with other rights.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Unsupported { .. } | Self::Failed { .. })
    }
}

impl fmt::Display for HookState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Attached { by } => write!(f, "attached by {by}"),
            Self::Unsupported { reason } | Self::Unavailable { reason } => {
                write!(f, "unsupported: {reason}")
            }
            Self::Failed { reason, .. } => write!(f, "failed: {reason}"),
        }
    }
}

/// The kernel's own number for what it does not support, which no C library knows.
const ENOTSUPP: i32 = 524;
/// How many lines of the verifier's output are kept.
const VERIFIER_LINES: usize = 8;

/// Loads and attaches the first alternative that the kernel takes.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    btf: &Btf,
    on_cpus: &mut OnCpus,
    hook: &'static Hook,
) -> Verdict {
    let mut state = HookState::Unavailable { reason: "no program is for it".to_owned() };
    for alternative in hook.alternatives {
        state = match attach_one(ebpf, btf, on_cpus, alternative) {
            Ok(()) => HookState::Attached { by: alternative.target.to_string() },
            Err(error) => refusal(&error, alternative.target),
        };
        if state.is_attached() {
            break;
        }
    }
    Verdict::new(hook, state)
}

fn attach_one(
    ebpf: &mut Ebpf,
    btf: &Btf,
    on_cpus: &mut OnCpus,
    alternative: &Alternative,
) -> Result<(), ProgramError> {
    if let Target::Software(event) = alternative.target {
        return on_cpus.attach(ebpf, alternative.program, event);
    }
    let program = ebpf.program_mut(alternative.program).ok_or(ProgramError::NotLoaded)?;
    match (program, alternative.target) {
        (Program::BtfTracePoint(program), Target::TpBtf(tracepoint)) => {
            program.load(tracepoint, btf)?;
            program.attach()?;
        }
        (Program::FEntry(program), Target::FEntry(function)) => {
            program.load(function, btf)?;
            program.attach()?;
        }
        (Program::FExit(program), Target::FExit(function)) => {
            program.load(function, btf)?;
            program.attach()?;
        }
        (Program::BtfTracePoint(program), Target::TpBtfOnDemand(tracepoint)) => {
            program.load(tracepoint, btf)?;
        }
        (Program::Iter(program), Target::Iter(kind)) => program.load(kind, btf)?,
        _ => return Err(ProgramError::UnexpectedProgramType),
    }
    Ok(())
}

/// Attaches the program of a hook that was only loaded until now; otherwise the hook's new state.
pub(super) fn attach_loaded(ebpf: &mut Ebpf, hook: &'static Hook) -> Result<(), HookState> {
    let mut result = Err(ProgramError::NotLoaded);
    for Alternative { program, target } in hook.alternatives {
        if let (Target::TpBtfOnDemand(_), Some(Program::BtfTracePoint(program))) =
            (target, ebpf.program_mut(program))
        {
            result = program.attach().map(drop);
        }
    }
    result.map_err(|error| HookState::Failed { reason: chain(&error), verifier: Vec::new() })
}

fn refusal(error: &ProgramError, target: Target) -> HookState {
    if matches!(target, Target::FEntry(_) | Target::FExit(_))
        && let Some(cause) = without_trampolines(error)
    {
        let reason = format!(
            "fentry/fexit not supported by this kernel ({cause}), as without \
             CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS; where other hooks are attached, more privileges do \
             not help"
        );
        return HookState::Unavailable { reason };
    }
    match error {
        ProgramError::Btf(error) => HookState::Unsupported { reason: chain(error) },
        ProgramError::LoadError { io_error, verifier_log } => {
            let log = verifier_log.to_string();
            let lines: Vec<_> = log.lines().filter(|line| !line.is_empty()).collect();
            let tail = &lines[lines.len().saturating_sub(VERIFIER_LINES)..];
            let reason = if is_locked_down(&lines) {
                "kernel lockdown (confidentiality) forbids programs that read kernel memory; boot \
                 without lockdown=confidentiality"
                    .to_owned()
            } else {
                format!("the kernel refused the program: {io_error}")
            };
            HookState::Failed {
                reason,
                verifier: tail.iter().map(|&line| line.to_owned()).collect(),
            }
        }
        error => HookState::Failed { reason: chain(error), verifier: Vec::new() },
    }
}

/// Why a program at a function was refused, where the kernel has no trampolines.
fn without_trampolines(error: &ProgramError) -> Option<String> {
    match error {
        // Before the verifier looked at it.
        ProgramError::LoadError { io_error, verifier_log }
            if verifier_log.to_string().is_empty() =>
        {
            Some(io_error.to_string())
        }
        // When it is attached, as on arm64 before 6.5 or without CONFIG_DYNAMIC_FTRACE_WITH_CALL_OPS.
        ProgramError::SyscallError(error) if error.io_error.raw_os_error() == Some(ENOTSUPP) => {
            Some(format!("error {ENOTSUPP}, no direct calls of trampolines"))
        }
        _ => None,
    }
}

/// Whether the verifier refuses a helper that every program for tracing may call, but under lockdown.
/// Where it has none for the kernel's memory alone, aya calls the older one for all memory.
fn is_locked_down(verifier: &[&str]) -> bool {
    const REFUSALS: [&str; 2] = ["unknown func bpf_probe_read", "cannot use helper bpf_probe_read"];
    verifier.iter().any(|line| REFUSALS.iter().any(|refusal| line.contains(refusal)))
}

#[cfg(test)]
mod tests {
    use super::is_locked_down;

    #[test]
    fn lockdown_is_told_from_other_refusals() {
        for line in [
            "unknown func bpf_probe_read_kernel#113",
            "program of this type cannot use helper bpf_probe_read_kernel_str#115",
            "program of this type cannot use helper bpf_probe_read#4",
        ] {
            assert!(is_locked_down(&["; a line of the source", line, "processed 9 insns"]));
        }
        assert!(!is_locked_down(&["unknown func bpf_get_func_ret#184"]));
        assert!(!is_locked_down(&["7: (85) call bpf_probe_read_kernel#113", "R1 is not valid"]));
    }
}
