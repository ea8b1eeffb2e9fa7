//! The `net` probe: TCP connections of every process and to every service, UDP datagrams, and DNS latency. See
//! `monitor-ebpf/src/bin/net` for the kernel's half.

mod active;
mod decode;
mod services;
mod udp;

use std::{
    mem,
    time::{Duration, Instant},
};

use aya::maps::{Array, MapData};
use monitor_common::{
    key::ProcessKey,
    offsets::{MessageOffsets, ProcessOffsets, SockOffsets, TaskOffsets},
    tcp::{CONNECTION_BYTES, DIRECTIONS, Flow, Losses, ServiceKey, Traffic, flow::PER_BANK},
};

use self::{
    decode::{Decoder, Snapshot, add_up},
    udp::Udp,
};
use super::{
    MapEntries, Probe, ProbeDesc, ProbeError,
    banked::Banked,
    banks::Banks,
    events::Events,
    maps, pairs,
    table::{Key, Table},
};
use crate::{
    event::{Event, Kind},
    kernel::{
        attach::{Alternative, Hook, Target, fexit, tracepoint},
        iter::{self, PassError},
        loader::{Kernel, Object, Raw, Setup},
        stats::ProgramStats,
    },
    metric,
    sample::Sample,
};

const NAME: &str = "net";
/// Finds out who owns the sockets that were there before.
const ADOPTION: &str = "adopt_sockets";
const FLOWS: &str = "FLOWS";

/// The tracepoints for all sockets.
const SENT: Target = Target::TpBtf("sock_send_length");
const RECEIVED: Target = Target::TpBtf("sock_recv_length");

/// Where there is no MPTCP, nothing is missing without this.
const ACCEPT_MPTCP: Hook = fexit!(
    "accept_mptcp",
    "mptcp_stream_accept",
    Some(
        "accept latency of processes that listen by MPTCP, as programs in Go do; until it is used, a \
         connection counts for the process that listens"
    )
);
const MPTCP: &str = "mptcp_sock.first";

/// Where the kernel has tracepoints for all sockets, these are not needed.
const SEND_MPTCP: Hook = fexit!("send_mptcp", "mptcp_sendmsg", Some("bytes sent by MPTCP"));
const RECEIVE_MPTCP: Hook =
    fexit!("receive_mptcp", "mptcp_recvmsg", Some("bytes received by MPTCP"));

/// In the order of attaching: the tracepoints for all sockets leave to the ends of functions what those
/// count; and sockets that were there before are taken in last, so that none is missed.
const HOOKS: &[Hook] = &[
    tracepoint!("inet_sock_set_state", None),
    tracepoint!("inet_sock_set_state_second", "inet_sock_set_state", None),
    tracepoint!("inet_sock_set_state_end", "inet_sock_set_state", None),
    tracepoint!("inet_sock_set_state_end_second", "inet_sock_set_state", None),
    udp::SENT_V4,
    udp::SENT_V6,
    udp::RECEIVED_V4,
    udp::RECEIVED_V6,
    Hook {
        name: "send",
        alternatives: &[
            Alternative { program: "sock_send_length", target: SENT },
            Alternative { program: "tcp_sendmsg", target: Target::FExit("tcp_sendmsg") },
        ],
        without: Some(
            "bytes that a connection sends, until it receives or closes; attribution to another process that sends on it",
        ),
    },
    Hook {
        name: "receive",
        alternatives: &[
            Alternative { program: "sock_recv_length", target: RECEIVED },
            Alternative { program: "tcp_recvmsg", target: Target::FExit("tcp_recvmsg") },
        ],
        without: Some(
            "bytes that a connection receives, until it sends or closes; attribution to another process that receives on it",
        ),
    },
    fexit!(
        "accept",
        "inet_accept",
        Some("accept latency; until it is used, a connection counts for the listening process")
    ),
    ACCEPT_MPTCP,
    tracepoint!("tcp_receive_reset", Some("resets received")),
    tracepoint!("tcp_send_reset", Some("resets sent")),
    tracepoint!(
        "tcp_retransmit_skb",
        Some("retransmits of a connection, until it is used or closes")
    ),
    tracepoint!("tcp_retransmit_synack", Some("SYN-ACK retransmits")),
    Hook {
        name: "iter_task_file",
        alternatives: &[Alternative { program: ADOPTION, target: Target::Iter("task_file") }],
        without: Some("connections that were open at the start, until they are used"),
    },
];

/// How the names of the programs at changes of state begin. Of each the second does what the first is skipped for, and the other way round.
/// Only from Linux 7.0 on, where threads are preempted in programs, can a change be missed by both: that takes three
/// of them on one CPU.
const STATE_PROGRAMS: &str = "inet_sock_set_state";

/// The entry in the table of probes.
pub(super) const DESC: ProbeDesc = ProbeDesc {
    name: NAME,
    help: "TCP connect and accept latency, round-trip time, traffic, retransmits, resets and failed \
           connection attempts; UDP traffic; DNS latency",
    metrics: metric::NET_ALL,
    hooks: HOOKS,
    is_default: true,
    slow: Some(Duration::from_secs(1)),
    load: |kernel| Ok(Box::new(Net::load(kernel)?)),
};

impl Key for ServiceKey {
    fn bank(&self) -> u16 {
        self.bank
    }

    fn other(bank: u16) -> Self {
        Self::other(bank)
    }
}

struct Net {
    object: Object,
    banks: Banks,
    processes: Table<ProcessKey, Traffic>,
    services: Table<ServiceKey, Traffic>,
    udp: Udp,
    events: Events<ServiceKey>,
    flows: Array<MapData, Raw<Flow>>,
    flows_used: Banked<u64>,
    lost: Banked<Losses>,
    /// What was lost while the sockets were taken in that were there before.
    lost_before: Losses,
    snapshot: Snapshot,
    /// When that was taken.
    taken: Instant,
    decoder: Decoder,
}

impl Net {
    fn load(kernel: &Kernel) -> Result<Self, ProbeError> {
        let mut constants = kernel.enumerators(&["SOCK_DONE"])?;
        constants.extend(udp::slots(kernel)?);
        constants.extend(udp::numbers(kernel));
        let mut object = kernel.load(
            NAME,
            aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/net.o")),
            &Setup {
                offsets: &[
                    TaskOffsets::TABLE,
                    ProcessOffsets::TABLE,
                    SockOffsets::TABLE,
                    MessageOffsets::TABLE,
                ],
                constants: &constants,
                ..Setup::default()
            },
        )?;
        let mut net = Self {
            banks: Banks::take(&mut object, NAME)?,
            processes: Table::take(&mut object, (NAME, "PROCESSES"), Traffic::EMPTY)?,
            services: Table::take(&mut object, (NAME, "SERVICES"), Traffic::EMPTY)?,
            udp: Udp::take(&mut object)?,
            events: Events::take(&mut object, (NAME, "EVENTS"))?,
            flows: maps::take(&mut object, (NAME, FLOWS))?,
            flows_used: Banked::take(&mut object, (NAME, "FLOWS_USED"), 0)?,
            lost: Banked::take(&mut object, (NAME, "LOST"), Losses::default())?,
            lost_before: Losses::default(),
            object,
            snapshot: Snapshot::default(),
            taken: Instant::now(),
            decoder: Decoder::new([false; DIRECTIONS]),
        };
        let has_mptcp = kernel.has_member(MPTCP);
        for hook in HOOKS {
            let is_needed = has_mptcp || hook.name != ACCEPT_MPTCP.name;
            if !is_needed || !kernel.attach(&mut net.object, hook) {
                continue;
            }
            net.udp.attached(hook)?;
            if hook.name == "iter_task_file" {
                // Ports that are listened on are found by the first, and needed by the second.
                for _ in 0..2 {
                    iter::over_all(&mut net.object, ADOPTION, &mut Vec::new())
                        .map_err(|source| pass_error(ADOPTION, source))?;
                }
            }
        }
        for (tracepoint, hook) in [(SENT, &SEND_MPTCP), (RECEIVED, &RECEIVE_MPTCP)] {
            let verdicts = &net.object.verdicts;
            let is_counted = verdicts.iter().any(|it| it.state.is_attached_by(&tracepoint));
            if has_mptcp && !is_counted {
                kernel.attach(&mut net.object, hook);
            }
        }
        super::require(NAME, HOOKS, &net.object.verdicts)?;
        net.decoder = Decoder::new(udp::measured(&net.object.verdicts, [SENT, RECEIVED]));
        // What was recorded while some hooks were missing is not reported, but what was lost and what
        // is open.
        net.end_tick()?;
        super::wait_for_programs()?;
        net.snapshot()?;
        net.lost_before = net.snapshot.lost;
        net.decoder.begin(&net.snapshot);
        net.snapshot.clear();
        Ok(net)
    }

    /// What single connections moved in the tick of a bank.
    fn take_flows(&mut self, bank: u16) -> Result<Vec<Flow>, ProbeError> {
        let used = self.flows_used.drain(bank.into())?.min(PER_BANK as u64) as usize;
        let first = usize::from(bank) * PER_BANK;
        let flow = |position| {
            let Raw(mut flow) = self.flows.get(&(position as u32), 0)?;
            (flow.owner.bank, flow.service.bank) = (bank, bank);
            Ok(flow)
        };
        (first..first + used)
            .map(flow)
            .collect::<Result<_, _>>()
            .map_err(|source| ProbeError::Map { probe: NAME, map: FLOWS, source })
    }
}

impl Probe for Net {
    fn object(&self) -> &Object {
        &self.object
    }

    fn skipped(&self, programs: &[(&str, ProgramStats)]) -> u64 {
        pairs::misses(programs.iter().cloned(), |name| !name.starts_with(STATE_PROGRAMS))
    }

    fn end_tick(&mut self) -> Result<(), ProbeError> {
        self.banks.flip()
    }

    fn snapshot(&mut self) -> Result<(), ProbeError> {
        let ended = self.banks.ended();
        self.object.flush_log();
        // What is taken from the kernel is gone there: a step that fails must not lose what those
        // before it took, nor give it out twice.
        self.snapshot.clear();
        self.events.snapshot();
        self.processes.drain(ended, &mut self.snapshot.processes)?;
        self.services.drain(ended, &mut self.snapshot.services)?;
        self.udp.drain(ended, &mut self.snapshot)?;
        let flows = self.take_flows(ended)?;
        self.snapshot.add_flows(&flows);
        self.snapshot.lost = self.lost.drain(ended.into())?;
        add_up(&mut self.snapshot.lost, &mem::take(&mut self.lost_before));
        self.snapshot.elapsed = self.taken.elapsed();
        self.taken = Instant::now();
        Ok(())
    }

    fn decode(&mut self, sink: &mut dyn FnMut(Sample<'_>)) {
        self.decoder.decode(&self.snapshot, sink);
    }

    fn events(&mut self, wanted: &dyn Fn(Kind) -> bool, sink: &mut dyn FnMut(Event)) {
        let among = &mut |latency, service: &_| self.decoder.among(latency, service);
        self.events.decode(wanted, among, sink);
    }

    fn entries(&self) -> Vec<MapEntries> {
        let tables = [
            ("PROCESSES", self.snapshot.processes.len()),
            ("SERVICES", self.snapshot.services.len()),
            ("DATAGRAMS", self.snapshot.datagrams.len()),
            ("SERVERS", self.snapshot.servers.len()),
            (FLOWS, self.snapshot.flows as usize),
            ("QUERIES", self.snapshot.queries),
        ];
        let tables = tables.map(|(map, entries)| MapEntries {
            map,
            entries: entries as u64,
            storage_bytes: 0,
        });
        let open = self.decoder.open();
        let connections = MapEntries {
            map: "CONNECTIONS",
            entries: open,
            storage_bytes: open * CONNECTION_BYTES,
        };
        tables.into_iter().chain([connections]).collect()
    }
}

fn pass_error(pass: &'static str, source: PassError) -> ProbeError {
    ProbeError::Pass { probe: NAME, pass, source }
}
