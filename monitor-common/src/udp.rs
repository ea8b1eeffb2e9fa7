//! Maps of the `net` probe for what is sent and received by UDP, and for DNS queries.

use crate::{
    hist::COARSE_SLOTS,
    key::ProcessKey,
    tcp::{CLIENT, DIRECTIONS, LATENCIES, ServiceKey},
};

/// The port of DNS servers.
pub const DNS_PORT: u16 = 53;

/// The index of DNS latency among slow latencies: behind those of connections.
pub const NAMES: usize = LATENCIES;

/// How long a DNS query waits for its response before it counts as timed out: after this time the
/// resolvers of glibc, Go and systemd send a query again by default. A later response has no latency.
pub const TIMEOUT_NS: u64 = 5_000_000_000;

/// How many DNS queries can be outstanding on the host.
pub const QUERIES: usize = 8192;

/// How many messages of a [`Query`] are kept. A power of two.
pub const ATTEMPTS: usize = 16;

/// In [`QueryKey::id`]: ids are not visible.
pub const NO_ID: u32 = 1 << 16;

/// How many combinations there are of a direction and a family of sockets.
pub const PLACES: usize = 2 * DIRECTIONS;

/// The place of a direction and a family of sockets among all.
pub const fn place(direction: usize, is_ipv6: bool) -> u32 {
    (2 * direction + is_ipv6 as usize) as u32
}

/// The service of a DNS server.
pub const fn server(address: [u32; 4]) -> ServiceKey {
    ServiceKey { address, port: DNS_PORT, side: CLIENT as u16, bank: 0, unused: 0 }
}

/// What identifies an outstanding DNS query, together with its response.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryKey {
    /// Address of the socket.
    pub sock: u64,
    /// Its port, in which it differs from a socket that had this address before.
    pub port: u32,
    /// The id in the messages; [`NO_ID`] where it is not visible.
    pub id: u32,
}

/// Outstanding DNS queries of a socket with one id, which may go to several servers; or all those of a
/// socket where ids are not visible.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// The process that sent the first.
    pub process: ProcessKey,
    /// When the last was sent, in monotonic nanoseconds.
    pub last: u64,
    /// The place of the next, taken modulo their number.
    pub next: u64,
    /// The messages.
    pub attempts: [Attempt; ATTEMPTS],
}

/// A message with a query.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    /// When it had been sent, in monotonic nanoseconds; 0 for none, and once it is answered.
    pub stamp: u64,
    /// The server's address, as in [`crate::tcp::ServiceKey`].
    pub server: [u32; 4],
}

impl Query {
    /// Nothing was sent yet.
    pub const EMPTY: Self = Self {
        process: ProcessKey::other(0),
        last: 0,
        next: 0,
        attempts: [Attempt { stamp: 0, server: [0; 4] }; ATTEMPTS],
    };
}

/// Datagrams and DNS queries of a process in a tick.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Datagrams {
    /// Bytes by direction.
    pub bytes: [u64; DIRECTIONS],
    /// Datagrams by direction.
    pub datagrams: [u64; DIRECTIONS],
    /// Its DNS queries.
    pub dns: Dns,
}

/// DNS queries and responses of a tick, those of a process or those of a server.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Dns {
    /// Queries sent.
    pub queries: u64,
    /// Those without a response in time.
    pub timeouts: u64,
    /// Responses by slot of their latency, see [`crate::hist::coarse`].
    pub slots: [u32; COARSE_SLOTS],
    /// The exact sum, in nanoseconds.
    pub sum_ns: u64,
}

impl Dns {
    /// No queries.
    pub const EMPTY: Self = Self { queries: 0, timeouts: 0, slots: [0; COARSE_SLOTS], sum_ns: 0 };
}

impl Datagrams {
    /// Nothing happened.
    pub const EMPTY: Self =
        Self { bytes: [0; DIRECTIONS], datagrams: [0; DIRECTIONS], dns: Dns::EMPTY };
}

crate::pod!(Dns, Datagrams, QueryKey, Query);

const _: () = assert!(size_of::<QueryKey>() == 16);
const _: () = assert!(size_of::<Query>() == size_of::<ProcessKey>() + 16 + 24 * ATTEMPTS);
const _: () = assert!(ATTEMPTS.is_power_of_two());
const _: () = assert!(size_of::<Dns>() == 24 + 4 * COARSE_SLOTS);
const _: () = assert!(size_of::<Datagrams>() == 16 * DIRECTIONS + size_of::<Dns>());
