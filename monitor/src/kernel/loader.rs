//! Loading an object: the offsets and constants of this kernel and host go into its read-only data.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use aya::{Btf, Ebpf, EbpfLoader, Endianness};
use aya_log::EbpfLogger;
use monitor_common::{
    Pod,
    offsets::{ABSENT, Table},
};
use serde::{Deserialize, Serialize};

use super::{
    attach::{self, Hook, Verdict},
    btf::{BtfError, Types, VMLINUX},
    members::{self, MemberError},
    on_cpus::OnCpus,
    realtime,
    stats::Accounts,
};
use crate::error::chain;

/// Lets types of `monitor-common` pass where aya wants its own marker.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Raw<T>(pub T);

#[expect(unsafe_code, reason = "aya's marker is a promise about layout, as is our own")]
// SAFETY: transparent over a type that promises the same.
unsafe impl<T: Pod> aya::Pod for Raw<T> {}

/// What BPF programs may log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum BpfLevel {
    /// Nothing.
    #[default]
    Off,
    /// Errors.
    Error,
    /// Warnings, and the above.
    Warn,
    /// Information, and the above.
    Info,
    /// Details, and the above.
    Debug,
}

/// What goes into an object before it is loaded.
#[derive(Default)]
pub struct Setup<'a> {
    /// Which members of kernel structures it reads.
    pub offsets: &'a [Table],
    /// Read-only variables of its own.
    pub constants: &'a [(&'static str, u32)],
    /// Capacities of maps that depend on the host.
    pub sizes: &'a [(&'static str, u32)],
}

/// Where the kernel lists the CPUs that may ever be online.
const POSSIBLE_CPUS: &str = "/sys/devices/system/cpu/possible";

/// What no program can do without: each by the enumerator that a kernel has which has it, and what that
/// stands for. All are older than what hooks and members need.
const NEEDED: [(&str, &str); 2] = [
    ("BPF_MAP_TYPE_TASK_STORAGE", "task storage for BPF programs"),
    ("BPF_MAP_TYPE_RINGBUF", "ring buffers for BPF programs"),
];

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The kernel's types could not be read.
    #[error(transparent)]
    Btf(#[from] BtfError),
    /// The kernel's types could not be understood.
    #[error("cannot read the kernel's types from {VMLINUX}: {0}; see the kernel's build")]
    Types(#[from] aya::BtfError),
    /// The number of CPUs is unknown.
    #[error("cannot read the list of CPUs from {POSSIBLE_CPUS}; mount /sys")]
    Cpus,
    /// The kernel lacks a member or a number, or has another in its place.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// The kernel lacks what every object needs.
    #[error(
        "this kernel does not support {what} ({name} is missing in its types); run monitor on Linux \
         6.1 or later"
    )]
    TooOld {
        /// What it lacks.
        what: &'static str,
        /// By what that is seen.
        name: &'static str,
    },
    /// The kernel would wait where nothing may.
    #[error(
        "the {object} programs need {storage} storage, which this PREEMPT_RT kernel allocates with \
         locks that sleep; run a newer kernel, or one without PREEMPT_RT"
    )]
    Realtime {
        /// The object.
        object: &'static str,
        /// Whose storage it is.
        storage: &'static str,
    },
    /// The kernel refused an object.
    #[error(
        "cannot load the {object} programs: {}; run as root, or with CAP_BPF, CAP_PERFMON and \
         CAP_SYS_RESOURCE, on a kernel of 6.1 or later",
        chain(source.as_ref())
    )]
    Object {
        /// The object.
        object: &'static str,
        /// The cause.
        source: Box<aya::EbpfError>,
    },
}

/// The running kernel, as far as loading needs it.
pub struct Kernel {
    types: Types,
    btf: Btf,
    /// How many CPUs may ever be online.
    pub cpus: u32,
    /// Where the host's `/sys` is seen.
    pub sys: PathBuf,
    /// One more than the highest process id.
    pub pid_max: u32,
    /// The controller whose cgroup says where a task belongs; none for the version 2 hierarchy.
    cgroup_controller: Option<&'static str>,
    is_realtime: bool,
    log: BpfLevel,
    /// From when on an object tells of latencies; never where nothing is said.
    pub slow: BTreeMap<String, Duration>,
}

impl Kernel {
    /// Reads the kernel's types and limits. `cgroup_controller` names the controller whose version 1
    /// hierarchy tells processes apart, if one does; `log` is what programs may log.
    pub fn read(cgroup_controller: Option<&'static str>, log: BpfLevel) -> Result<Self, LoadError> {
        let types = Types::read(Path::new(VMLINUX))?;
        let lacks = NEEDED.iter().find(|(name, _)| types.enumerator(name).is_none());
        if let Some(&(name, what)) = lacks {
            return Err(LoadError::TooOld { what, name });
        }
        let btf = Btf::parse(types.bytes(), Endianness::default())?;
        let cpus = fs::read_to_string(POSSIBLE_CPUS).ok().and_then(|list| highest(&list));
        let pid_max = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
        Ok(Self {
            types,
            btf,
            sys: "/sys".into(),
            cpus: cpus.ok_or(LoadError::Cpus)? + 1,
            pid_max: pid_max.trim().parse().unwrap_or(1 << 22),
            cgroup_controller,
            is_realtime: realtime::is_on(),
            log,
            slow: BTreeMap::new(),
        })
    }

    /// The value of an enumerator in the kernel's types.
    pub fn enumerator(&self, name: &str) -> Option<u32> {
        self.types.enumerator(name)
    }

    /// Whether the kernel has a member, given as `struct.member`.
    pub fn has_member(&self, path: &str) -> bool {
        self.types.member(path).is_some()
    }

    /// Constants that have the names and values of enumerators.
    pub fn enumerators(
        &self,
        names: &[&'static str],
    ) -> Result<Vec<(&'static str, u32)>, LoadError> {
        let constant = |&name| Some((name, self.enumerator(name)?));
        names.iter().map(|name| constant(name).ok_or(MemberError::Missing(name).into())).collect()
    }

    /// The names of the parameters of a function of the kernel.
    pub fn parameters(&self, function: &str) -> Option<Vec<&str>> {
        self.types.parameters(function)
    }

    /// The place of a parameter, as in `function.parameter`; 0 where the kernel has no such function.
    pub fn parameter(&self, path: &'static str) -> Result<u32, LoadError> {
        let (function, name) = path.split_once('.').unwrap_or((path, ""));
        let Some(parameters) = self.parameters(function) else { return Ok(0) };
        let place = parameters.iter().position(|parameter| *parameter == name);
        place.map(|place| place as u32).ok_or(MemberError::Missing(path).into())
    }

    /// The index of the controller in `css_set::subsys`.
    fn cgroup_subsys(&self) -> u32 {
        self.cgroup_controller.map_or(ABSENT, |name| self.subsys(name))
    }

    /// The index of a controller in `css_set::subsys`; [`ABSENT`] where the kernel does not have it.
    pub fn subsys(&self, controller: &str) -> u32 {
        let name = format!("{controller}_cgrp_id");
        self.types.enumerator(&name).unwrap_or(ABSENT)
    }

    /// Loads an object.
    pub fn load(
        &self,
        object: &'static str,
        elf: &[u8],
        setup: &Setup<'_>,
    ) -> Result<Object, LoadError> {
        let mut tables = Vec::new();
        for table in setup.offsets {
            tables.push((table.global, members::offsets(&self.types, table)?));
        }
        let subsys = self.cgroup_subsys();
        let level = self.log as u8;
        let slow = self.slow.get(object).filter(|threshold| !threshold.is_zero());
        let slow_ns = slow.map_or(u64::MAX, |slow| slow.as_nanos().try_into().unwrap_or(u64::MAX));
        let mut loader = EbpfLoader::new();
        loader
            .btf(Some(&self.btf))
            .allow_unsupported_maps()
            .override_global(aya_log::LEVEL, &level, false)
            .override_global("CGROUP_SUBSYS", &subsys, false)
            .override_global("SLOW_NS", &slow_ns, false);
        for (global, offsets) in &tables {
            loader.override_global(global, &offsets[..], true);
        }
        for (name, value) in setup.constants {
            loader.override_global(name, value, true);
        }
        for (name, size) in setup.sizes {
            loader.map_max_entries(name, *size);
        }
        let mut ebpf = loader
            .load(elf)
            .map_err(|source| LoadError::Object { object, source: Box::new(source) })?;
        if self.is_realtime
            && let Some(storage) = realtime::unsafe_storage(&self.types, &ebpf)
        {
            return Err(LoadError::Realtime { object, storage });
        }
        let accounts = Accounts::of_maps(&ebpf);
        let mut log = None;
        if self.log != BpfLevel::Off {
            log = EbpfLogger::init(&mut ebpf)
                .inspect_err(|error| tracing::warn!(object, "no logs of its programs: {error}"))
                .ok();
        }
        Ok(Object {
            ebpf,
            verdicts: Vec::new(),
            accounts,
            log,
            on_demand: Vec::new(),
            on_cpus: OnCpus::default(),
        })
    }

    /// Attaches a hook of an object and notes what came of it.
    pub fn attach(&self, object: &mut Object, hook: &'static Hook) -> bool {
        let verdict = attach::attach(&mut object.ebpf, &self.btf, &mut object.on_cpus, hook);
        let attached = verdict.state.is_attached();
        if attached {
            tracing::debug!(hook = hook.name, "{}", verdict.state);
        } else if verdict.state.is_missing() {
            tracing::warn!(hook = hook.name, without = verdict.without, "{}", verdict.state);
        }
        object.verdicts.push(verdict);
        for alternative in hook.alternatives {
            object.accounts.add_program(&object.ebpf, alternative.program);
        }
        attached
    }
}

/// A loaded object: its programs and maps, and what came of its hooks.
pub struct Object {
    /// Programs and maps.
    pub ebpf: Ebpf,
    /// What came of each hook that was tried.
    pub verdicts: Vec<Verdict>,
    /// What its programs and maps cost.
    pub accounts: Accounts,
    log: Option<EbpfLogger<&'static dyn log::Log>>,
    /// The hooks that were to be attached when needed, and were needed.
    on_demand: Vec<&'static str>,
    on_cpus: OnCpus,
}

impl Object {
    /// Attaches programs that each CPU has of its own on those that have come online.
    pub fn follow_cpus(&mut self) {
        self.on_cpus.follow(&mut self.ebpf);
    }

    /// Attaches the program of a hook that was loaded to be attached when needed, if it is not
    /// attached yet.
    pub fn attach_on_demand(&mut self, hook: &'static Hook) {
        // Once is enough: what fails now fails again.
        if self.on_demand.contains(&hook.name) {
            return;
        }
        self.on_demand.push(hook.name);
        let verdict = self.verdicts.iter_mut().find(|verdict| verdict.hook == hook.name);
        let Some(verdict) = verdict.filter(|verdict| verdict.state.is_attached()) else { return };
        match attach::attach_loaded(&mut self.ebpf, hook) {
            Ok(()) => tracing::info!(hook = hook.name, "attached, as it is needed on this host"),
            Err(state) => {
                tracing::warn!(hook = hook.name, without = hook.without, "{state}");
                *verdict = Verdict::new(hook, state);
            }
        }
    }

    /// Hands on what its programs had to say.
    pub fn flush_log(&mut self) {
        if let Some(log) = &mut self.log {
            log.flush();
        }
    }
}

/// The highest number of a list such as `0-3,8`.
fn highest(list: &str) -> Option<u32> {
    list.trim().rsplit([',', '-']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn highest_of_cpu_lists() {
        assert_eq!(highest("0\n"), Some(0));
        assert_eq!(highest("0-63\n"), Some(63));
        assert_eq!(highest("0-3,8-11,15\n"), Some(15));
        assert_eq!(highest(""), None);
    }

    #[test]
    fn this_kernel_has_the_controller() {
        let kernel = Kernel::read(Some("cpu"), BpfLevel::Off).unwrap();
        assert_ne!(kernel.cgroup_subsys(), ABSENT);
    }

    #[test]
    fn a_parameter_that_is_missing_is_named() {
        let kernel = Kernel::read(None, BpfLevel::Off).unwrap();
        assert_eq!(kernel.parameter("udp_sendmsg.len").ok(), Some(2));
        assert_eq!(kernel.parameter("no_such_function.len").ok(), Some(0));
        let error = kernel.parameter("udp_sendmsg.flags").unwrap_err().to_string();
        assert!(error.contains("no udp_sendmsg.flags"), "{error}");
    }
}
