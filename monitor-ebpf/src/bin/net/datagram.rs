//! What processes send and receive by UDP.
//!
//! The kernel counts none of it by socket, so it is added to the process for every datagram.

use monitor_common::{
    key::ProcessKey,
    tcp::{Loss, RECEIVE, TRANSMIT},
    udp::{self, DNS_PORT, Datagrams},
};
use monitor_ebpf::{
    atomic, bank,
    kernel::{Message, Sock, Transport},
    table,
};

use crate::{AT_FUNCTIONS, DATAGRAMS, owner, query, record::lost};

/// The first value of an entry.
static NOTHING: Datagrams = Datagrams::EMPTY;

/// What came of a process's sending or receiving.
#[derive(Clone, Copy)]
pub struct Moved {
    pub sock: Sock,
    /// Bytes, or an error.
    pub result: i32,
    /// The message, where it can be seen.
    pub message: Option<Message>,
}

impl Moved {
    /// As a tracepoint saw it that sees all sockets; nothing where a function's end sees more.
    #[inline(always)]
    pub fn at_tracepoint(sock: Sock, result: i32, direction: usize) -> Option<Self> {
        let place = AT_FUNCTIONS.get_ptr(udp::place(direction, sock.is_ipv6()))?;
        // SAFETY: a map value.
        let at_function = unsafe { *place != 0 };
        if at_function { None } else { Some(Self { sock, result, message: None }) }
    }

    /// As the end of a function saw it that sends or receives for sockets of one family. Those of IPv6
    /// send to IPv4 by its function, which is inside of their own.
    #[inline(always)]
    pub fn at_function(sock: Sock, result: i32, message: Message, is_ipv6: bool) -> Option<Self> {
        if sock.transport() != Some(Transport::Udp) || sock.is_ipv6() != is_ipv6 {
            return None;
        }
        Some(Self { sock, result, message: Some(message) })
    }
}

/// The process that runs now has sent a datagram.
#[inline(always)]
pub fn sent(moved: Moved) {
    if moved.result < 0 {
        return;
    }
    let (sock, bank) = (moved.sock, bank::active());
    let datagrams = sock.datagrams(moved.result as u64);
    let process = count((moved.result, datagrams), TRANSMIT, bank);
    if datagrams == 0 {
        return;
    }
    let named = moved.message.and_then(Message::endpoint);
    let port = named.map_or_else(|| sock.remote_port(), |named| named.port);
    // A server's answers may go to that port too.
    if port == DNS_PORT && sock.local_port() != DNS_PORT {
        let server = named.unwrap_or_else(|| sock.remote());
        query::sent(moved, server, process, bank);
    }
}

/// The process that runs now has received a datagram.
#[inline(always)]
pub fn received(moved: Moved, flags: i32) {
    let no_datagram = match moved.result {
        0 => moved.sock.receives_no_more(),
        result => result < 0,
    };
    if no_datagram || flags & owner::TAKES_NOTHING != 0 {
        return;
    }
    let bank = bank::active();
    let process = count((moved.result, 1), RECEIVE, bank);
    query::received(moved, process, bank);
}

/// Adds datagrams to what the process that runs now has sent or received; returns where.
#[inline(always)]
fn count((bytes, datagrams): (i32, u64), direction: usize, bank: usize) -> Option<*mut Datagrams> {
    let owner = ProcessKey { bank: bank as u16, ..owner::current() };
    let entry = table::entry(&DATAGRAMS, &owner, &NOTHING, || {
        lost(bank, Loss::ProcessesFull);
        ProcessKey::other(bank as u16)
    })?;
    // SAFETY: a map value, 8-byte aligned.
    unsafe {
        atomic::add(&raw mut (*entry).bytes[direction], bytes as u64);
        atomic::add(&raw mut (*entry).datagrams[direction], datagrams);
    }
    Some(entry)
}
