//! Maps of the `net` probe.

use crate::{hist::COARSE_SLOTS, key::ProcessKey, named::named};

/// The side of a connection that opened it.
pub const CLIENT: usize = 0;
/// The side that was listening.
pub const SERVER: usize = 1;
/// Number of sides.
pub const SIDES: usize = 2;
/// In [`ServiceKey::side`]: services that found the table full.
pub const NO_SIDE: u16 = SIDES as u16;

/// The place of what is sent in arrays by direction.
pub const TRANSMIT: usize = 0;
/// The place of what is received.
pub const RECEIVE: usize = 1;
/// Number of directions.
pub const DIRECTIONS: usize = 2;

/// The place of the time from the first segment until the connection is open.
pub const CONNECT: usize = 0;
/// The place of the time that an open connection waits to be accepted.
pub const ACCEPT: usize = 1;
/// The place of the smoothed round-trip time.
pub const RTT: usize = 2;
/// Number of latencies.
pub const LATENCIES: usize = 3;

/// The listening end of connections.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    /// Its address as it is sent, most significant byte first; of IPv4 the one that IPv6 has for it.
    pub address: [u32; 4],
    /// Its port.
    pub port: u16,
    /// Which side this host is.
    pub side: u16,
    /// The bank this was recorded in; 0 in a [`Connection`].
    pub bank: u16,
    /// Always 0.
    pub unused: u16,
}

impl ServiceKey {
    /// The entry for services that found the table full.
    pub const fn other(bank: u16) -> Self {
        Self { address: [0; 4], port: 0, side: NO_SIDE, bank, unused: 0 }
    }
}

/// What the kernel counts for each socket by itself: the places of what of it has been reported.
pub mod counter {
    /// Bytes that the process has handed to the kernel to send.
    pub const TRANSMIT: usize = 0;
    /// Bytes received.
    pub const RECEIVE: usize = 1;
    /// Segments sent again.
    pub const RETRANSMITS: usize = 2;
    /// Number of counters.
    pub const COUNT: usize = 3;
}

/// What a socket carries. A socket that was accepted begins with a copy of what its listener has.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The process that connects, listens, accepts, sends or receives, under its latest name.
    pub owner: ProcessKey,
    /// Start time of that process in monotonic nanoseconds: with the id, its identity.
    pub start_ns: u64,
    /// The listening end.
    pub service: ServiceKey,
    /// When it began to connect, or could be accepted. Monotonic nanoseconds; 0 where that was not seen.
    pub stamp: u64,
    /// The kernel's counters as far as they have been reported.
    pub reported: [u64; counter::COUNT],
    /// Sequence number of the first byte that is sent.
    pub first: u64,
    /// Reference to the [`Flow`] of the current tick; see [`flow`].
    pub flow: u64,
    /// Bits of [`flag`].
    pub flags: u64,
}

impl Connection {
    /// Nothing is known.
    pub const EMPTY: Self = Self {
        owner: ProcessKey { cgroup_id: 0, comm: [0; _], tgid: 0, bank: 0, kernel_thread: 0 },
        start_ns: 0,
        service: ServiceKey::other(0),
        stamp: 0,
        reported: [0; counter::COUNT],
        first: 0,
        flow: 0,
        flags: 0,
    };
}

/// Flags of a [`Connection`].
pub mod flag {
    /// It is, or was, open since the hooks were attached.
    pub const OPEN: u64 = 1;
    /// Its owner has accepted or used it. Until then it is that of its listener.
    pub const CLAIMED: u64 = 2;
    /// It was there before the hooks were attached.
    pub const ADOPTED: u64 = 8;
    /// One CPU changes the owner; all others leave the connection as it is.
    pub const MOVING: u64 = 16;
    /// It was closed while its owner changed: whoever changes the owner reports the end.
    pub const CLOSED: u64 = 32;
    /// It has ended, though the kernel may not show that in the socket yet.
    pub const ENDED: u64 = 64;
}

/// Traffic of one connection in one tick. Userspace adds it to its process and its service.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// The owner of the connection.
    pub owner: ProcessKey,
    /// The listening end.
    pub service: ServiceKey,
    /// Bytes by direction.
    pub bytes: [u64; DIRECTIONS],
    /// Retransmitted segments.
    pub retransmits: u64,
    /// The last smoothed round-trip time of the tick in nanoseconds; 0 for none.
    pub rtt_ns: u64,
}

/// References to a [`Flow`]: the tick above, the position below.
pub mod flow {
    /// Flows of one bank. More connections than these are added to the tables one message at a time.
    pub const PER_BANK: usize = 4096;
    /// Position of a connection that found no free flow in its tick.
    pub const FULL: u32 = u32::MAX;

    /// Reference to a position in a tick. No tick has the reference 0.
    pub const fn reference(tick: u64, position: u32) -> u64 {
        (tick + 1) << 32 | position as u64
    }

    /// Whether a reference is one to a flow of this tick.
    pub const fn is_of(reference: u64, tick: u64) -> bool {
        reference >> 32 == (tick + 1) & 0xffff_ffff
    }
}

/// A port that is listened on.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listener {
    /// Tells network namespaces apart.
    pub net: u64,
    /// The port.
    pub port: u64,
}

/// What connections did in a tick: those of a process, or those to a service.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Change of the number of open connections, by side.
    pub active: [i64; SIDES],
    /// Connections opened, by side.
    pub opened: [u64; SIDES],
    /// Connections closed, by side.
    pub closed: [u64; SIDES],
    /// Connections that could not be opened, by [`Failure`].
    pub failed: [u64; Failure::COUNT],
    /// Segments sent again.
    pub retransmits: u64,
    /// Segments that reset a connection, by direction.
    pub resets: [u64; DIRECTIONS],
    /// Bytes by direction.
    pub bytes: [u64; DIRECTIONS],
    /// Exact sums of the latencies, in nanoseconds.
    pub sums: [u64; LATENCIES],
    /// The latencies by slot, see [`crate::hist::coarse`].
    pub slots: [[u32; COARSE_SLOTS]; LATENCIES],
}

impl Traffic {
    /// Nothing happened.
    pub const EMPTY: Self = Self {
        active: [0; SIDES],
        opened: [0; SIDES],
        closed: [0; SIDES],
        failed: [0; Failure::COUNT],
        retransmits: 0,
        resets: [0; DIRECTIONS],
        bytes: [0; DIRECTIONS],
        sums: [0; LATENCIES],
        slots: [[0; COARSE_SLOTS]; LATENCIES],
    };
}

named! {
    /// Why a connection could not be opened.
    /// The names are the values of the attribute `error.type`.
    pub enum Failure {
        /// The other end answered that nobody listens.
        Refused = "refused",
        /// Nobody answered.
        TimedOut = "timed_out",
        /// There is no way to the other end.
        Unreachable = "unreachable",
        /// The process gave up.
        Aborted = "aborted",
        /// No local port was free.
        AddressNotAvailable = "address_not_available",
        /// Anything else.
        Other = "_OTHER",
    }
}

/// What was not measured, or not where it belongs, by [`Loss`].
pub type Losses = [u64; Loss::COUNT];

named! {
    /// Why something was not recorded, or not recorded where it belongs.
    /// The names are the values of the attribute `monitor.loss.reason`.
    pub enum Loss {
        /// There was no memory for a socket's storage, so its connection or question is not measured.
        NoStorage = "no_storage",
        /// The table of processes was full, so something was added to `(other)`.
        ProcessesFull = "processes_full",
        /// The table of services was full, so something was added to `(other)`.
        ServicesFull = "services_full",
        /// A duration was negative, or longer than [`crate::hist::MAX_NS`].
        Implausible = "implausible",
        /// The table of ports that were listened on at the start was full, so connections that were open
        /// then may count as a client's.
        ListenersFull = "listeners_full",
        /// Several CPUs reported or closed one connection at once and this one gave up.
        Contended = "contended",
        /// There was no room to tell of a slow connection or answer.
        RingFull = "ring_full",
        /// The table of outstanding DNS queries was full, so a query is not measured.
        QueriesFull = "queries_full",
        /// The id of a DNS message could not be read, so its query is not measured.
        Unreadable = "unreadable",
    }
}

crate::pod!(ServiceKey, Listener, Traffic, Flow);

/// What the storage of one socket takes in the kernel, which rounds it, with 72 bytes of its own, up
/// to a power of two.
pub const CONNECTION_BYTES: u64 = (size_of::<Connection>() as u64 + 72).next_power_of_two();

const _: () = assert!(size_of::<ServiceKey>() == 24);
const _: () = assert!(size_of::<Connection>() == 32 + 8 + 24 + 8 + 8 * counter::COUNT + 24);
const _: () = assert!(size_of::<Flow>() == 32 + 24 + 8 * DIRECTIONS + 16);
const _: () = assert!(CONNECTION_BYTES == 256);
const _: () = assert!(
    size_of::<Traffic>()
        == 8 * (3 * SIDES + Failure::COUNT + 1 + 2 * DIRECTIONS + LATENCIES)
            + 4 * LATENCIES * COARSE_SLOTS
);
