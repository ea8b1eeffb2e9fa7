//! The `process` probe: processes made, programs executed, processes ended. See
//! `monitor-ebpf/src/bin/process.rs` for the kernel's half.

mod decode;

use monitor_common::{
    offsets::{ProcessOffsets, TaskOffsets},
    process::{Counts, Losses},
};

use self::decode::Decoder;
use super::{
    ProbeDesc, ProbeError,
    tallies::{Layout, Tallies},
};
use crate::kernel::{
    attach::{Alternative, Hook, Target, tracepoint},
    loader::{Kernel, Setup},
};

const NAME: &str = "process";

const HOOKS: &[Hook] = &[
    Hook {
        name: "sched_process_exit",
        alternatives: &[
            // Older kernels do not say which thread is the last of its process.
            Alternative {
                program: "sched_process_exit_group",
                target: Target::TpBtf("sched_process_exit"),
            },
            Alternative {
                program: "sched_process_exit",
                target: Target::TpBtf("sched_process_exit"),
            },
        ],
        without: Some("how processes end"),
    },
    tracepoint!("sched_process_exec", Some("which programs are executed")),
    tracepoint!("sched_process_fork", Some("which processes are made")),
];

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "processes made and ended, programs executed",
    hooks: HOOKS,
    is_default: true,
    slow: None,
    load: |kernel| Ok(Box::new(load(kernel)?)),
};

fn load(kernel: &Kernel) -> Result<Tallies<Counts, Losses, Decoder>, ProbeError> {
    let object = kernel.load(
        NAME,
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/process.o")),
        &Setup { offsets: &[TaskOffsets::TABLE, ProcessOffsets::TABLE], ..Setup::default() },
    )?;
    let layout = Layout {
        probe: NAME,
        processes: ("COUNTS", Counts::EMPTY),
        host: ("LOST", Losses::default()),
        events: "EVENTS",
    };
    Tallies::start(object, layout, |object| {
        for hook in HOOKS {
            kernel.attach(object, hook);
        }
        Decoder::new()
    })
}
