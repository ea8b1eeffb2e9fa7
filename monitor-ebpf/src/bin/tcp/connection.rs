//! A connection from its first segment to its end.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use monitor_common::{
    key::ProcessKey,
    tcp::{CLIENT, CONNECT, Connection, DIRECTIONS, Failure, Loss, SERVER, ServiceKey, flag},
};
use monitor_ebpf::{
    atomic, bank,
    kernel::{Endpoint, Sock},
    slow::Measured,
};

use crate::{
    CONNECTIONS, owner,
    record::{self, Entries, flush, lost, skip},
    state,
};

/// Errors, by the numbers of the kernel.
mod errno {
    pub const NONE: i32 = 0;
    pub const NETUNREACH: i32 = 101;
    pub const TIMEDOUT: i32 = 110;
    pub const CONNREFUSED: i32 = 111;
    pub const HOSTUNREACH: i32 = 113;
}

/// A process begins to connect.
#[inline(always)]
pub fn connecting(sock: Sock) {
    begin(sock, CLIENT);
}

/// A process begins to listen. What it accepts begins with a copy of what is written here.
#[inline(always)]
pub fn listening(sock: Sock) {
    begin(sock, SERVER);
}

/// What a process that runs now begins.
#[inline(always)]
fn begin(sock: Sock, side: usize) {
    let Some(connection) = CONNECTIONS.get_or_create(sock) else {
        return lost(bank::active(), Loss::NoStorage);
    };
    let connection = connection.as_ptr();
    // SAFETY: the socket's storage.
    unsafe {
        owner::unsettle(sock);
        (*connection).owner = owner::current();
        (*connection).service = service(sock, side);
        (*connection).flags = flag::CLAIMED;
        if let Some(tcp) = sock.tcp() {
            skip(tcp, connection);
        }
        (*connection).stamp = bpf_ktime_get_ns();
    }
}

/// Both ends know of the connection. This end may have been in state `before` by a segment from the
/// other, so nobody knows which process runs now.
#[inline(always)]
pub fn opened(sock: Sock, before: u8) {
    let bank = bank::active();
    if before == state::SYN_SENT {
        // Without storage it began before the hooks were attached.
        let Some(connection) = CONNECTIONS.get(sock) else { return };
        let connection = connection.as_ptr();
        // SAFETY: the socket's storage, and programs have no other clock.
        unsafe {
            let ended = bpf_ktime_get_ns();
            let ns = ended.wrapping_sub((*connection).stamp);
            atomic::or(&raw mut (*connection).flags, flag::OPEN);
            let entries = Entries::of((*connection).owner, (*connection).service, bank);
            entries.add(|traffic| &raw mut (*traffic).opened[CLIENT], 1);
            entries.record(bank, CONNECT, ns);
            let measured = Measured { latency: CONNECT, ns, ended };
            record::tell_slow((*connection).owner, (*connection).service, measured);
        }
    } else if before == state::SYN_RECV {
        let Some(connection) = CONNECTIONS.get_or_create(sock) else {
            return lost(bank, Loss::NoStorage);
        };
        let connection = connection.as_ptr();
        // SAFETY: as above.
        unsafe {
            if is_unknown(connection) {
                (*connection).owner = ProcessKey::other(0);
            }
            owner::unsettle(sock);
            (*connection).service = service(sock, SERVER);
            (*connection).flags = flag::OPEN;
            if let Some(tcp) = sock.tcp() {
                skip(tcp, connection);
            }
            (*connection).stamp = bpf_ktime_get_ns();
            let entries = Entries::of((*connection).owner, (*connection).service, bank);
            entries.add(|traffic| &raw mut (*traffic).opened[SERVER], 1);
        }
    }
}

/// There is no connection any more, or it has never come to be.
#[inline(always)]
pub fn closed(sock: Sock, before: u8) {
    owner::unsettle(sock);
    let Some(connection) = CONNECTIONS.get(sock) else { return };
    let (bank, connection) = (bank::active(), connection.as_ptr());
    // SAFETY: the socket's storage.
    unsafe {
        let open = (*connection).flags & flag::OPEN != 0;
        if !open && before != state::SYN_SENT {
            return;
        }
        flush(sock, connection, [0; DIRECTIONS], bank);
        atomic::and(&raw mut (*connection).flags, !(flag::OPEN | flag::SAMPLED));
        let service = (*connection).service;
        let entries = Entries::of((*connection).owner, service, bank);
        if !open {
            let reason = failure(sock.error()) as usize;
            entries.add(|traffic| &raw mut (*traffic).failed[reason], 1);
        } else if service.side == SERVER as u16 {
            entries.add(|traffic| &raw mut (*traffic).closed[SERVER], 1);
        } else {
            entries.add(|traffic| &raw mut (*traffic).closed[CLIENT], 1);
        }
    }
}

/// A segment that ends a connection at once was sent or received.
#[inline(always)]
pub fn reset(sock: Option<Sock>, direction: usize) {
    let (owner, service) = match sock.and_then(|sock| CONNECTIONS.get(sock)) {
        // SAFETY: the socket's storage.
        Some(connection) => unsafe {
            ((*connection.as_ptr()).owner, (*connection.as_ptr()).service)
        },
        // Such as the answer to a segment for a port that nobody listens on.
        None => (ProcessKey::other(0), ServiceKey::other(0)),
    };
    let entries = Entries::of(owner, service, bank::active());
    // SAFETY: a map value; the two directions are all there are.
    entries.add(|traffic| unsafe { &raw mut (*traffic).resets[direction] }, 1);
}

/// A listener's answer to a client's first segment was sent again.
#[inline(always)]
pub fn answered_again(listener: Sock, request: Sock) {
    let owner = match CONNECTIONS.get(listener) {
        // SAFETY: the socket's storage.
        Some(connection) => unsafe { (*connection.as_ptr()).owner },
        None => ProcessKey::other(0),
    };
    let entries = Entries::of(owner, service(request, SERVER), bank::active());
    // SAFETY: a map value.
    entries.add(|traffic| unsafe { &raw mut (*traffic).retransmits }, 1);
}

/// The listening end of a socket's connection.
#[inline(always)]
pub fn service(sock: Sock, side: usize) -> ServiceKey {
    let Endpoint { address, port } = if side == SERVER { sock.local() } else { sock.remote() };
    ServiceKey { address, port, side: side as u16, bank: 0, unused: 0 }
}

/// Whether nothing is known yet of what a storage belongs to.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
pub unsafe fn is_unknown(connection: *const Connection) -> bool {
    // SAFETY: by the caller's promise. Every process has a name, and so has what stands for none.
    unsafe { (*connection).owner.comm[0] == 0 && (*connection).owner.tgid == 0 }
}

/// Why a connection has not come to be.
#[inline(always)]
fn failure(error: i32) -> Failure {
    match error {
        errno::NONE => Failure::Aborted,
        errno::CONNREFUSED => Failure::Refused,
        errno::TIMEDOUT => Failure::TimedOut,
        errno::HOSTUNREACH | errno::NETUNREACH => Failure::Unreachable,
        _ => Failure::Other,
    }
}
