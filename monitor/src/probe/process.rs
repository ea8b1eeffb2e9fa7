//! The `process` probe: processes made, programs executed, processes ended. See
//! `monitor-ebpf/src/bin/process.rs` for the kernel's half.

mod decode;

use monitor_common::{
    offsets::{ProcessOffsets, TaskOffsets},
    process::{Counts, Losses},
};

use self::decode::Decoder;
use super::{
    ProbeDesc, ProbeError, pairs,
    per_process::{Layout, PerProcess},
};
use crate::{
    kernel::{
        attach::{Alternative, Hook, Target, tracepoint},
        loader::{Kernel, Setup},
    },
    metric,
};

const NAME: &str = "process";

/// In the order of attaching: the kernel runs first programs before second ones.
const HOOKS: &[Hook] = &[
    Hook {
        name: "sched_process_exit",
        alternatives: &[
            // Older kernels do not say which thread is the last of its process.
            Alternative { program: EXIT_GROUP, target: Target::TpBtf("sched_process_exit") },
            Alternative {
                program: "sched_process_exit",
                target: Target::TpBtf("sched_process_exit"),
            },
        ],
        without: Some("exits of processes"),
    },
    tracepoint!("sched_process_exec", Some("executed programs")),
    tracepoint!("task_newtask", Some("which processes and threads are created")),
];

/// The program of kernels that say which thread is the last. Others have no use for a second program.
const EXIT_GROUP: &str = "sched_process_exit_group";

/// Second programs, which the first rely on: marks that nothing takes away would keep those from counting.
const SECONDS: [Hook; 3] = [
    tracepoint!("sched_process_exit_group_second", "sched_process_exit", None),
    tracepoint!("sched_process_exec_second", "sched_process_exec", None),
    tracepoint!("task_newtask_second", "task_newtask", None),
];

/// The programs at the same tracepoints, in the order of [`SECONDS`].
const PAIRS: pairs::Names = &[
    [EXIT_GROUP, SECONDS[0].name],
    ["sched_process_exec", SECONDS[1].name],
    ["task_newtask", SECONDS[2].name],
];

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "forks, execs and exits of processes",
    metrics: metric::PROCESS_ALL,
    hooks: HOOKS,
    is_default: true,
    slow: None,
    load: |kernel| Ok(Box::new(load(kernel)?)),
};

fn load(kernel: &Kernel) -> Result<PerProcess<Counts, Losses, Decoder>, ProbeError> {
    let mut object = kernel.load(
        NAME,
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/process.o")),
        &Setup { offsets: &[TaskOffsets::TABLE, ProcessOffsets::TABLE], ..Setup::default() },
    )?;
    let layout = Layout {
        probe: NAME,
        processes: ("COUNTS", Counts::EMPTY),
        host: ("LOST", Losses::default()),
        events: "EVENTS",
        pairs: PAIRS,
    };
    for hook in HOOKS {
        kernel.attach(&mut object, hook);
    }
    super::require(NAME, HOOKS, &object.verdicts)?;
    for ([first, _], second) in PAIRS.iter().zip(&SECONDS) {
        // Alone it would wait for marks of a first program that the kernel refused.
        if object.accounts.programs().any(|(program, _)| program == *first) {
            kernel.attach(&mut object, second);
            super::require(NAME, std::slice::from_ref(second), &object.verdicts)?;
        }
    }
    PerProcess::start(object, layout, |_| Decoder::new())
}
