//! The `faults` probe: how long major page faults take. See `monitor-ebpf/src/bin/faults.rs` for the
//! kernel's half. How many faults there are is counted by `sched`, at no price.

use std::time::Duration;

use monitor_common::{
    faults::{Faults, HostBank, LATENCIES},
    offsets::{TaskOffsets, ThreadOffsets},
};

use super::{
    ProbeDesc, ProbeError,
    per_process::{Layout, PerProcess},
    require,
    stalls::{Kind, Stalls},
};
use crate::{
    kernel::{
        attach::{Alternative, Hook, SoftwareEvent, Target},
        loader::{Kernel, Setup},
    },
    metric::{self, PROCESS_MEMORY_FAULT_LATENCY},
    sample::Attributes,
};

const NAME: &str = "faults";

/// In the order of attaching: the end of each fault that is seen to end was seen to begin.
const HOOKS: &[Hook] = &[
    Hook {
        name: "page_faults",
        alternatives: &[Alternative {
            program: "fault_begin",
            target: Target::Software(SoftwareEvent::PageFaults),
        }],
        without: None,
    },
    Hook {
        name: "major_faults",
        alternatives: &[Alternative {
            program: "major_fault_end",
            target: Target::Software(SoftwareEvent::PageFaultsMaj),
        }],
        without: None,
    },
];

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "major page fault latency; also runs at every minor page fault",
    metrics: metric::FAULTS_ALL,
    hooks: HOOKS,
    is_default: false,
    slow: Some(Duration::from_millis(100)),
    load: |kernel| Ok(Box::new(load(kernel)?)),
};

fn load(kernel: &Kernel) -> Result<PerProcess<Faults, HostBank, Stalls<LATENCIES>>, ProbeError> {
    let mut object = kernel.load(
        NAME,
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/faults.o")),
        &Setup { offsets: &[TaskOffsets::TABLE, ThreadOffsets::TABLE], ..Setup::default() },
    )?;
    let layout = Layout {
        probe: NAME,
        processes: ("FAULTS", Faults::EMPTY),
        host: ("HOST", HostBank::EMPTY),
        events: "EVENTS",
        pairs: &[],
    };
    for hook in HOOKS {
        kernel.attach(&mut object, hook);
    }
    require(NAME, HOOKS, &object.verdicts)?;
    let faults = Kind {
        metric: &PROCESS_MEMORY_FAULT_LATENCY,
        attributes: Attributes::default(),
        is_measured: true,
    };
    PerProcess::start(object, layout, |_| Stalls::new(NAME, [faults]))
}
