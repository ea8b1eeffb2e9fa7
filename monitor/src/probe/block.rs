//! The `block` probe: how long requests to block devices wait in their queue and for the device, and
//! what they move, by process, device and operation. See `monitor-ebpf/src/bin/block` for the kernel's
//! half.

mod decode;
mod devices;

use std::time::Duration;

use monitor_common::{
    block::{ENTRIES, Entry, Loss, Losses, Subject, Used},
    offsets::{ABSENT, RequestOffsets, TaskOffsets},
};

use self::{
    decode::{Decoder, Snapshot},
    devices::Devices,
};
use super::{
    MapEntries, Probe, ProbeDesc, ProbeError, banked::Banked, banks::Banks, events::Events,
};
use crate::{
    event::{Event, Kind},
    kernel::{
        attach::{Alternative, Hook, Target, tracepoint},
        loader::{Kernel, Object, Setup},
    },
    metric,
    sample::Sample,
};

const NAME: &str = "block";

/// Numbers of the kernel that the programs use, by the names that both have for them.
const NUMBERS: &[&str] = &[
    "REQ_OP_READ",
    "REQ_OP_WRITE",
    "REQ_OP_FLUSH",
    "REQ_OP_DISCARD",
    "REQ_OP_DRV_IN",
    "__REQ_FAILFAST_DEV",
    "__REQ_PREFLUSH",
    "__REQ_FUA",
];
/// Numbers that not every kernel names; the programs do without.
const OPTIONAL_NUMBERS: &[&str] = &["__RQF_FLUSH_SEQ", "QUEUE_FLAG_STATS"];

const ISSUE: Alternative =
    Alternative { program: "block_rq_issue", target: Target::TpBtf("block_rq_issue") };

/// What is lost where issues are not seen that the kernel notes no exact time for.
const WITHOUT_ISSUES: Option<&str> = Some(
    "latencies of devices for which the kernel keeps no statistics, and exact ones of batches",
);

const ISSUE_INEXACT: Alternative =
    Alternative { program: "block_rq_issue_inexact", target: Target::TpBtf("block_rq_issue") };

const ISSUE_TIME: Alternative =
    Alternative { program: "block_rq_issue_time", target: Target::TpBtfOnDemand("block_rq_issue") };

/// From 6.9 on the kernel notes an earlier reading of its clock in requests that a task issues in a
/// batch: the program looks at every issue, and reads the clock where it has to.
const ISSUES: Hook =
    Hook { name: "block_rq_issue", alternatives: &[ISSUE_INEXACT], without: WITHOUT_ISSUES };

/// Before, what the kernel notes is exact, but it does so only for devices that something of its own
/// wants statistics of, such as its limits on writeback, which are there by default. As this costs more
/// than all else, it is attached only once there are requests without.
const ISSUES_WITHOUT_STATISTICS: Hook =
    Hook { name: "block_rq_issue", alternatives: &[ISSUE_TIME], without: WITHOUT_ISSUES };

/// The member that holds the earlier reading.
const CACHED_CLOCK: &str = "blk_plug.cur_ktime";

/// In the order of attaching: where requests start before where they end, so that none ends without
/// its start having been seen but those that are under way now.
const HOOKS: &[Hook] = &[
    tracepoint!(
        "block_rq_merge",
        Some("whose some requests are, as places for requests are not given back")
    ),
    Hook {
        name: "block_io_start",
        alternatives: &[
            Alternative { program: "block_io_start", target: Target::TpBtf("block_io_start") },
            ISSUE,
        ],
        without: Some("attribution of requests: all are in (other)"),
    },
    tracepoint!("block_rq_complete", None),
    // One of the two above.
    Hook {
        name: "block_rq_issue",
        alternatives: &[ISSUE_INEXACT, ISSUE_TIME],
        without: WITHOUT_ISSUES,
    },
];

/// Wanted too where there is no `block_io_start`: requests that wait are issued by others than made
/// them, and those that have the device flushed by any.
const BEFORE_IO_START: &[Hook] = &[
    tracepoint!(
        "block_rq_insert",
        Some("whose requests are that wait for the device: they are in the kernel's threads")
    ),
    tracepoint!(
        "block_getrq",
        Some(
            "whose requests are that have the device flushed: they are in (other) or in the kernel's \
             threads"
        )
    ),
];

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "queue and device latency of block devices, bytes, operations and errors",
    metrics: metric::BLOCK_ALL,
    hooks: HOOKS,
    is_default: true,
    slow: Some(Duration::from_millis(500)),
    load: |kernel| Ok(Box::new(Block::load(kernel)?)),
};

struct Block {
    object: Object,
    banks: Banks,
    counted: Banked<Entry>,
    used: Banked<Used>,
    lost: Banked<Losses>,
    events: Events<Subject>,
    devices: Devices,
    snapshot: Snapshot,
    decoder: Decoder,
    is_clock_cached: bool,
}

impl Block {
    fn load(kernel: &Kernel) -> Result<Self, ProbeError> {
        let mut constants = kernel.enumerators(NUMBERS)?;
        for name in OPTIONAL_NUMBERS {
            constants.push((name, kernel.enumerator(name).unwrap_or(ABSENT)));
        }
        let mut object = kernel.load(
            NAME,
            aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/block.o")),
            &Setup {
                offsets: &[TaskOffsets::TABLE, RequestOffsets::TABLE],
                constants: &constants,
                ..Setup::default()
            },
        )?;
        let is_clock_cached = kernel.has_member(CACHED_CLOCK);
        for hook in HOOKS {
            let hook = match (hook.name, is_clock_cached) {
                ("block_rq_issue", true) => &ISSUES,
                ("block_rq_issue", false) => &ISSUES_WITHOUT_STATISTICS,
                _ => hook,
            };
            kernel.attach(&mut object, hook);
            // What looks at every issue is attached to the same tracepoint.
            if hook.name != "block_io_start" {
                continue;
            }
            let by_issue = object
                .verdicts
                .last()
                .is_some_and(|verdict| verdict.state.is_attached_by(&ISSUE.target));
            if by_issue {
                for hook in BEFORE_IO_START {
                    kernel.attach(&mut object, hook);
                }
            }
        }
        super::require(NAME, HOOKS, &object.verdicts)?;
        Ok(Self {
            banks: Banks::take(&mut object, NAME)?,
            counted: Banked::take(&mut object, (NAME, "COUNTED"), Entry::EMPTY)?,
            used: Banked::take(&mut object, (NAME, "USED"), [0; _])?,
            lost: Banked::take(&mut object, (NAME, "LOST"), Losses::default())?,
            events: Events::take(&mut object, (NAME, "EVENTS"))?,
            devices: Devices::new(&kernel.sys),
            snapshot: Snapshot::default(),
            decoder: Decoder::default(),
            is_clock_cached,
            object,
        })
    }

    /// Moves the entries of a bank into the snapshot.
    fn take_entries(&mut self, bank: u32) -> Result<(), ProbeError> {
        let used = self.used.drain(bank)?;
        for position in (0..ENTRIES).filter(|n| used[n / 64] >> (n % 64) & 1 == 1) {
            let entry = self.counted.drain(bank * ENTRIES as u32 + position as u32)?;
            self.snapshot.entries.push(entry);
        }
        Ok(())
    }
}

impl Probe for Block {
    fn object(&self) -> &Object {
        &self.object
    }

    fn end_tick(&mut self) -> Result<(), ProbeError> {
        self.banks.flip()
    }

    fn snapshot(&mut self) -> Result<(), ProbeError> {
        self.object.flush_log();
        // What is taken from the kernel is gone there: a step that fails must not give it out twice.
        self.snapshot = Snapshot::default();
        self.events.snapshot();
        let bank = self.banks.ended().into();
        self.take_entries(bank)?;
        self.snapshot.lost = self.lost.drain(bank)?;
        if !self.is_clock_cached && self.snapshot.lost[Loss::NoIssueTime as usize] > 0 {
            self.object.attach_on_demand(&ISSUES_WITHOUT_STATISTICS);
        }
        let counted = self.snapshot.entries.iter().map(|entry| entry.key.device);
        for device in counted.chain(self.events.subjects().map(|subject| subject.device)) {
            self.snapshot.names.entry(device).or_insert_with(|| self.devices.name(device));
        }
        Ok(())
    }

    fn decode(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        self.decoder.decode(&self.snapshot, sink);
    }

    fn events(&mut self, wanted: &dyn Fn(Kind) -> bool, sink: &mut dyn FnMut(Event)) {
        let among =
            &mut |latency, subject: &_| self.decoder.among(latency, subject, &self.snapshot.names);
        self.events.decode(wanted, among, sink);
    }

    fn entries(&self) -> Vec<MapEntries> {
        let entries = self.snapshot.entries.len() as u64;
        vec![MapEntries { map: "COUNTED", entries, storage_bytes: 0 }]
    }
}
