//! The `cgroup` probe: cgroups created and removed. See `monitor-ebpf/src/bin/cgroup.rs` for the
//! kernel's half.

mod creations;
mod decode;

use std::convert::Infallible;

use monitor_common::{
    cgroup::{Counts, Loss},
    offsets::{CgroupOffsets, TaskOffsets},
};
use tokio::sync::oneshot;

pub use self::creations::Creations;
use super::{
    MapEntries, Probe, ProbeDesc, ProbeError, banked::Banked, banks::Banks, events::Ring,
    ledger::Ledger, maps,
};
use crate::{
    kernel::{
        attach::{Hook, tracepoint},
        loader::{Kernel, Object, Setup},
    },
    metric::{self, CGROUP_CREATIONS},
    sample::{Attributes, CgroupChange, Owner, Sample, Value},
};

const NAME: &str = "cgroup";

const HOOKS: &[Hook] = &[
    tracepoint!(
        "cgroup_rmdir",
        Some("throttling between the last reading and the end of a cgroup")
    ),
    tracepoint!(
        "cgroup_mkdir",
        Some("container and unit of processes whose cgroup ends within a tick")
    ),
];

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "cgroups created and removed",
    metrics: metric::CGROUP_PROBE_ALL,
    hooks: HOOKS,
    is_default: true,
    slow: None,
    load: |kernel| Ok(Box::new(load(kernel)?)),
};

/// The loaded probe.
struct Cgroup {
    object: Object,
    banks: Banks,
    counts: Banked<Counts>,
    changes: Ring,
    /// Taken by the first call of [`Probe::creations`].
    creations: Option<Creations>,
    /// Dropped with the probe, which ends [`Creations::watch`].
    _end: oneshot::Sender<Infallible>,
    taken: Counts,
    ledger: Ledger,
}

fn load(kernel: &Kernel) -> Result<Cgroup, ProbeError> {
    let mut object = kernel.load(
        NAME,
        aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/cgroup.o")),
        &Setup {
            offsets: &[TaskOffsets::TABLE, CgroupOffsets::TABLE],
            constants: &[("CPU_SUBSYS", kernel.subsys("cpu"))],
            ..Setup::default()
        },
    )?;
    for hook in HOOKS {
        kernel.attach(&mut object, hook);
    }
    let (end, ended) = oneshot::channel();
    Ok(Cgroup {
        creations: Some(Creations::new(maps::take(&mut object, (NAME, "CREATIONS"))?, ended)),
        _end: end,
        banks: Banks::take(&mut object, NAME)?,
        counts: Banked::take(&mut object, (NAME, "COUNTS"), Counts::default())?,
        changes: Ring::take(&mut object, (NAME, "CHANGES"))?,
        taken: Counts::default(),
        ledger: Ledger::new(NAME, &Loss::NAMES),
        object,
    })
}

impl Probe for Cgroup {
    fn object(&self) -> &Object {
        &self.object
    }

    fn end_tick(&mut self) -> Result<(), ProbeError> {
        self.banks.flip()
    }

    fn snapshot(&mut self) -> Result<(), ProbeError> {
        self.object.flush_log();
        self.changes.snapshot();
        self.taken = Counts::default();
        self.taken = self.counts.drain(self.banks.ended().into())?;
        Ok(())
    }

    fn decode(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        let value = Value::Increase(self.taken.created);
        let attributes = &Attributes::default();
        sink(Sample { metric: &CGROUP_CREATIONS, owner: Owner::Host, attributes, value });
        self.ledger.decode(&self.taken.lost, sink);
    }

    fn cgroups(&self, sink: &mut dyn FnMut(CgroupChange<'_>)) {
        self.changes.each().filter_map(decode::change).for_each(sink);
    }

    fn creations(&mut self) -> Option<Creations> {
        self.creations.take()
    }

    fn entries(&self) -> Vec<MapEntries> {
        Vec::new()
    }
}
