//! Counting datagrams and DNS queries: the maps, and the hooks that do it.
//!
//! The ends of the functions that send and receive for UDP show each message with its address. Where the
//! kernel has no programs at functions, the tracepoints do it that run for every socket.

use aya::maps::{Array, HashMap, MapData, MapError};
use monitor_common::{
    key::ProcessKey,
    offsets::ABSENT,
    tcp::{DIRECTIONS, RECEIVE, ServiceKey, TRANSMIT},
    udp::{self, Datagrams, Dns, Query, QueryKey},
};

use super::{NAME, decode::Snapshot};
use crate::{
    event::Clock,
    kernel::{
        attach::{Hook, Target, Verdict, fexit},
        loader::{Kernel, LoadError, Object, Raw},
    },
    probe::{ProbeError, maps, table::Table},
};

const AT_FUNCTIONS: &str = "AT_FUNCTIONS";
const QUERIES: &str = "QUERIES";

pub(super) const SENT_V4: Hook = fexit!(
    "udp_sendmsg",
    "udp_sendmsg",
    Some(
        "DNS queries over IPv4 by sockets that are not connected, such as those of musl; before \
         Linux 6.3 all datagrams sent over IPv4"
    )
);
pub(super) const SENT_V6: Hook = fexit!(
    "udpv6_sendmsg",
    "udpv6_sendmsg",
    Some(
        "DNS queries over IPv6 by sockets that are not connected; before Linux 6.3 all datagrams \
         sent over IPv6"
    )
);
pub(super) const RECEIVED_V4: Hook = fexit!(
    "udp_recvmsg",
    "udp_recvmsg",
    Some("responses over IPv4 to those queries; before Linux 6.3 all datagrams received over IPv4")
);
pub(super) const RECEIVED_V6: Hook = fexit!(
    "udpv6_recvmsg",
    "udpv6_recvmsg",
    Some("responses over IPv6 to those queries; before Linux 6.3 all datagrams received over IPv6")
);

/// Those hooks, with their direction and whether they are for sockets for IPv6.
const ENDS: [(&Hook, usize, bool); udp::PLACES] = [
    (&SENT_V4, TRANSMIT, false),
    (&SENT_V6, TRANSMIT, true),
    (&RECEIVED_V4, RECEIVE, false),
    (&RECEIVED_V6, RECEIVE, true),
];

/// Where the functions of both families have their results, which lie behind the last argument, and
/// those that receive their flags: `recvmsg` has lost parameters over time.
pub(super) fn slots(kernel: &Kernel) -> Result<[(&'static str, u32); 3], LoadError> {
    let result = |function| kernel.parameters(function).unwrap_or_default().len() as u32;
    Ok([
        ("SENDMSG_RESULT", result("udp_sendmsg")),
        ("RECVMSG_RESULT", result("udp_recvmsg")),
        ("RECVMSG_FLAGS", kernel.parameter("udp_recvmsg.flags")?),
    ])
}

/// The maps.
pub(super) struct Udp {
    datagrams: Table<ProcessKey, Datagrams>,
    servers: Table<ServiceKey, Dns>,
    queries: HashMap<MapData, Raw<QueryKey>, Raw<Query>>,
    at_functions: Array<MapData, u64>,
}

impl Udp {
    /// Takes the maps.
    pub(super) fn take(object: &mut Object) -> Result<Self, ProbeError> {
        Ok(Self {
            datagrams: Table::take(object, (NAME, "DATAGRAMS"), Datagrams::EMPTY)?,
            servers: Table::take(object, (NAME, "SERVERS"), Dns::EMPTY)?,
            queries: maps::take(object, (NAME, QUERIES))?,
            at_functions: maps::take(object, (NAME, AT_FUNCTIONS))?,
        })
    }

    /// Takes note of a hook that is attached: the tracepoints leave to it what it counts.
    pub(super) fn attached(&mut self, hook: &Hook) -> Result<(), ProbeError> {
        let end = ENDS.iter().find(|(end, ..)| end.name == hook.name);
        let Some((_, direction, is_ipv6)) = end else { return Ok(()) };
        self.at_functions
            .set(udp::place(*direction, *is_ipv6), 1, 0)
            .map_err(|source| error(AT_FUNCTIONS, source))
    }

    /// Moves what a bank has into a snapshot.
    pub(super) fn drain(&mut self, bank: u16, snapshot: &mut Snapshot) -> Result<(), ProbeError> {
        self.datagrams.drain(bank, &mut snapshot.datagrams)?;
        self.servers.drain(bank, &mut snapshot.servers)?;
        self.time_out(Clock::now().monotonic_ns, snapshot).map_err(|source| error(QUERIES, source))
    }

    /// Takes out the queries that have no response in time.
    fn time_out(&mut self, now: u64, snapshot: &mut Snapshot) -> Result<(), MapError> {
        let mut old = Vec::new();
        // Entries that come and go meanwhile may have the kernel begin again.
        for entry in self.queries.iter().take(udp::QUERIES) {
            let (key, Raw(query)) = entry?;
            snapshot.queries += 1;
            // It has no last message while its entry is made.
            if query.last != 0 && now.saturating_sub(query.last) > udp::TIMEOUT_NS {
                old.push((key, query));
            }
        }
        for (key, query) in old {
            match self.queries.remove(&key) {
                Ok(()) => snapshot.timed_out(&query),
                // It was answered just now.
                Err(MapError::KeyNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Which directions are counted, by hooks at ends of functions or at these tracepoints.
pub(super) fn measured(
    verdicts: &[Verdict],
    tracepoints: [Target; DIRECTIONS],
) -> [bool; DIRECTIONS] {
    [TRANSMIT, RECEIVE].map(|direction| {
        verdicts.iter().any(|verdict| {
            let mut ends = ENDS.iter().filter(|(_, way, _)| *way == direction);
            ends.any(|(end, ..)| end.name == verdict.hook) && verdict.state.is_attached()
                || verdict.state.is_attached_by(&tracepoints[direction])
        })
    })
}

/// Numbers of the running kernel, as variables of the programs. Messages in kinds of buffers that it does
/// not have are not read; without a number the flag is alone in its member.
pub(super) fn numbers(kernel: &Kernel) -> [(&'static str, u32); 3] {
    [("ITER_UBUF", ABSENT), ("ITER_IOVEC", ABSENT), ("UDP_FLAGS_CORK", 0)]
        .map(|(name, without)| (name, kernel.enumerator(name).unwrap_or(without)))
}

fn error(map: &'static str, source: MapError) -> ProbeError {
    ProbeError::Map { probe: NAME, map, source }
}
