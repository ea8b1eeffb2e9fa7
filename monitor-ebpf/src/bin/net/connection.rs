//! A connection from its first segment to its end.

use core::ptr::{self, NonNull};

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_ktime_get_ns};
use monitor_common::{
    key::ProcessKey,
    tcp::{
        CLIENT, CONNECT, Connection, DIRECTIONS, Failure, Loss, SERVER, ServiceKey, counter, flag,
    },
};
use monitor_ebpf::{
    atomic, bank,
    kernel::{Endpoint, Sock, Task, Transport, state},
    slow::Measured,
};

use crate::{
    CONNECTIONS, MPTCP, flow, owner,
    record::{self, ATTEMPTS, Entries, Moved, flush, lost, skip, take},
};

/// Errors, by the numbers of the kernel.
mod errno {
    pub const NONE: i32 = 0;
    pub const NETUNREACH: i32 = 101;
    pub const TIMEDOUT: i32 = 110;
    pub const CONNREFUSED: i32 = 111;
    pub const HOSTUNREACH: i32 = 113;
}

/// The first value of an entry.
static NOTHING: Connection = Connection::EMPTY;

/// The address that an MPTCP connection is known by: that of the socket that the process has, of which
/// this may be a subflow.
#[inline(always)]
fn mptcp_of(sock: Sock) -> Option<u64> {
    match sock.tcp() {
        Some(tcp) => tcp.mptcp(),
        None => (sock.transport() == Some(Transport::Mptcp)).then(|| sock.address()),
    }
}

/// What the connection of a socket carries: its storage or, for MPTCP, an entry that all subflows share.
#[inline(always)]
pub fn of(sock: Sock) -> Option<*mut Connection> {
    match mptcp_of(sock) {
        Some(address) => MPTCP.get_ptr_mut(address),
        None => CONNECTIONS.get(sock).map(NonNull::as_ptr),
    }
}

/// The same, made when there is none.
#[inline(always)]
pub fn of_or_new(sock: Sock) -> Option<*mut Connection> {
    let Some(address) = mptcp_of(sock) else {
        return CONNECTIONS.get_or_create(sock).map(NonNull::as_ptr);
    };
    if let Some(connection) = MPTCP.get_ptr_mut(address) {
        return Some(connection);
    }
    // By reference, as it is too large for the stack. Another CPU may have been faster, which does as well.
    let nothing = &NOTHING;
    let _ = MPTCP.insert(address, nothing, BPF_NOEXIST.into());
    MPTCP.get_ptr_mut(address)
}

/// A process begins to connect, or its MPTCP connection gets another subflow.
#[inline(always)]
pub fn connecting(sock: Sock) {
    begin(sock, of_or_new(sock), CLIENT);
}

/// A process begins to listen. What it accepts begins with a copy of what is written here; also where it
/// listens by MPTCP, as subflows are accepted.
#[inline(always)]
pub fn listening(sock: Sock) {
    begin(sock, CONNECTIONS.get_or_create(sock).map(NonNull::as_ptr), SERVER);
}

/// What a process that runs now begins.
#[inline(always)]
fn begin(sock: Sock, connection: Option<*mut Connection>, side: usize) {
    let Some(connection) = connection else {
        return lost(bank::active(), Loss::NoStorage);
    };
    // SAFETY: the socket's storage.
    unsafe {
        let flags = ptr::read_volatile(&raw const (*connection).flags);
        let has_begun = flags & (flag::OPEN | flag::CLAIMED) != 0;
        if has_begun && flags & flag::ENDED == 0 {
            return;
        }
        (*connection).owner = owner::current();
        (*connection).start_ns = Task::current().leader().start_time();
        (*connection).service = service(sock, side);
        (*connection).flags = flag::CLAIMED;
        if let Some(tcp) = sock.tcp() {
            skip(tcp, connection);
        }
        (*connection).stamp = bpf_ktime_get_ns();
    }
}

/// A listener has made a socket for a connection. It begins with a copy of what the listener carries, and a process
/// can soon accept it, by TCP Fast Open before it is open.
#[inline(always)]
pub fn made(sock: Sock) {
    // Of MPTCP this is a subflow, which accepting does not wait for.
    let Some(connection) = CONNECTIONS.get(sock) else { return };
    let connection = connection.as_ptr();
    // SAFETY: the socket's storage, and programs have no other clock.
    unsafe {
        // A listener has flags, so this was done already.
        if ptr::read_volatile(&raw const (*connection).flags) == 0 {
            return;
        }
        (*connection).flags = 0;
        (*connection).stamp = bpf_ktime_get_ns();
    }
}

/// Both ends know of the connection. This end may have been in state `before` by a segment from the
/// other, so the running process is not known. An MPTCP connection is open with its first subflow.
#[inline(always)]
pub fn opened(sock: Sock, before: u8) {
    let tick = bank::tick();
    let bank = bank::of(tick);
    if before == state::SYN_SENT {
        // Without storage it began before the hooks were attached.
        let Some(connection) = of(sock) else { return };
        // SAFETY: the socket's storage, and programs have no other clock.
        unsafe {
            if ptr::read_volatile(&raw const (*connection).flags) & flag::OPEN != 0 {
                return;
            }
            let ended = bpf_ktime_get_ns();
            let ns = ended.wrapping_sub((*connection).stamp);
            if let Some(tcp) = sock.tcp() {
                (*connection).first = tcp.first().into();
            }
            atomic::or(&raw mut (*connection).flags, flag::OPEN);
            let entries = Entries::of((*connection).owner, (*connection).service, bank);
            entries.add(|traffic| &raw mut (*traffic).opened[CLIENT], 1);
            entries.change_active(CLIENT, 1);
            entries.record(bank, CONNECT, ns);
            let measured = Measured { latency: CONNECT, ns, ended };
            record::tell_slow((*connection).owner, (*connection).service, measured);
        }
    } else if before == state::SYN_RECV {
        let Some(connection) = of_or_new(sock) else { return lost(bank, Loss::NoStorage) };
        // SAFETY: as above.
        unsafe {
            let flags = &raw mut (*connection).flags;
            let was = ptr::read_volatile(flags);
            // A process that uses it already may have opened it, at this very moment too.
            if was & flag::OPEN != 0
                || atomic::compare_exchange(flags, was, flag::OPEN | flag::MOVING) != was
            {
                return;
            }
            start(sock, connection, was);
            if (*connection).stamp == 0 {
                (*connection).stamp = bpf_ktime_get_ns();
            }
            // Which process accepts it is not known yet: it counts as opened once that is.
            let (owner, service) = ((*connection).owner, (*connection).service);
            Entries::of(owner, service, bank).change_active(SERVER, 1);
            owner::moved(sock, connection, tick);
        }
    }
}

/// Whether a connection with these flags, that was not seen to be open, can be used: a process has accepted it
/// before it is open, or the kernel skipped the program.
#[inline(always)]
pub fn is_usable(sock: Sock, flags: u64) -> bool {
    let state = sock.state();
    flags & flag::ENDED == 0
        && state != state::CLOSE
        && state != state::SYN_SENT
        && state != state::LISTEN
}

/// Begins a connection that had these flags, where this is not done as it begins to connect. What it carried until
/// now is still to be reported.
///
/// # Safety
/// `connection` is what the socket carries, and this CPU has set [`flag::MOVING`].
#[inline(always)]
pub unsafe fn start(sock: Sock, connection: *mut Connection, was: u64) {
    // SAFETY: by the caller's promise.
    unsafe {
        let is_new = is_unknown(connection);
        if is_new {
            // Of MPTCP the copy of what the listener has is with the subflow.
            let copy = CONNECTIONS.get(sock).map(NonNull::as_ptr);
            match copy.filter(|copy| !is_unknown(*copy)) {
                Some(copy) => {
                    (*connection).owner = (*copy).owner;
                    (*connection).start_ns = (*copy).start_ns;
                }
                None => (*connection).owner = ProcessKey::other(0),
            }
        }
        let tcp = sock.tcp();
        if let Some(tcp) = tcp {
            (*connection).first = tcp.first().into();
        }
        if !is_new && side_of(connection) == CLIENT {
            return;
        }
        (*connection).service = service(sock, SERVER);
        if was != 0 {
            // The stamp is that of the listener.
            (*connection).stamp = 0;
        }
        if let Some(tcp) = tcp {
            (*connection).reported = [0; counter::COUNT];
            // What is retransmitted before is the listener's answer.
            (*connection).reported[counter::RETRANSMITS] = tcp.retransmits();
            flow::end(connection);
        }
    }
}

/// A socket has no connection any more, or it has never come to be. What begins and fails by MPTCP is
/// seen of its subflows; once it is open, an MPTCP connection continues without a subflow.
#[inline(always)]
pub fn closed(sock: Sock, before: u8) {
    let Some(connection) = of(sock) else { return };
    let is_mptcp = mptcp_of(sock).is_some();
    let is_tcp = sock.tcp().is_some();
    let was_connecting = is_tcp && before == state::SYN_SENT;
    // SAFETY: the socket's storage.
    unsafe {
        let is_open = ptr::read_volatile(&raw const (*connection).flags) & flag::OPEN != 0;
        if is_mptcp && is_tcp && (is_open || !was_connecting) {
            return;
        }
        let tick = bank::tick();
        match close(&raw mut (*connection).flags) {
            Closed::Ended(flags) => report_end(sock, connection, Some(flags), tick),
            Closed::WasNotOpen if was_connecting => report_end(sock, connection, None, tick),
            Closed::WasNotOpen => {}
            Closed::HadEnded => return,
            // Its entry is still used.
            Closed::IsMoving => return,
            Closed::Contended => lost(bank::of(tick), Loss::Contended),
        }
    }
    remove(sock);
}

/// Removes what is known of an MPTCP connection that has ended; what is known of others ends with the socket.
#[inline(always)]
pub fn remove(sock: Sock) {
    if let Some(address) = mptcp_of(sock) {
        let _ = MPTCP.remove(address);
    }
}

/// What became of an attempt to end a connection.
enum Closed {
    /// It has ended, with these flags before.
    Ended(u64),
    /// It was not open.
    WasNotOpen,
    /// It had ended before.
    HadEnded,
    /// Another CPU changes the owner at this moment, and reports the end too.
    IsMoving,
    /// Other CPUs changed the flags all the time.
    Contended,
}

/// Marks a connection as ended. What follows is done by the caller, outside of the loop: the verifier looks at
/// each turn of it.
///
/// # Safety
/// `flags` are those of a socket's storage.
#[inline(always)]
unsafe fn close(flags: *mut u64) -> Closed {
    for _ in 0..ATTEMPTS {
        // SAFETY: by the caller's promise, and 8-byte aligned.
        unsafe {
            let was = ptr::read_volatile(flags);
            let is_moving = was & flag::MOVING != 0;
            let ended = was & !flag::OPEN | flag::ENDED;
            let now = if is_moving { was | flag::CLOSED } else { ended };
            if atomic::compare_exchange(flags, was, now) == was {
                return if is_moving {
                    Closed::IsMoving
                } else if was & flag::OPEN != 0 {
                    Closed::Ended(was)
                } else if was & flag::ENDED != 0 {
                    Closed::HadEnded
                } else {
                    Closed::WasNotOpen
                };
            }
        }
    }
    Closed::Contended
}

/// Reports the end of a connection that was open and had these `flags`, or of one that has not come to be.
///
/// # Safety
/// `connection` is the socket's storage, and no other CPU reports its end.
#[inline(always)]
pub unsafe fn report_end(sock: Sock, connection: *mut Connection, flags: Option<u64>, tick: u64) {
    // SAFETY: by the caller's promise; the sides, and the reasons, are all there are.
    unsafe {
        flush(sock, connection, [0; DIRECTIONS], tick);
        let (owner, service) = ((*connection).owner, (*connection).service);
        let entries = Entries::of(owner, service, bank::of(tick));
        let Some(flags) = flags else {
            let reason = failure(sock) as usize;
            return entries.add(|traffic| &raw mut (*traffic).failed[reason], 1);
        };
        let side = side_of(connection);
        entries.change_active(side, -1);
        entries.add(|traffic| &raw mut (*traffic).closed[side], 1);
        if flags & flag::CLAIMED == 0 {
            // No process has accepted it.
            entries.add(|traffic| &raw mut (*traffic).opened[side], 1);
        }
    }
}

/// A segment is retransmitted. The running process is not known.
#[inline(always)]
pub fn retransmitted(sock: Sock) {
    let tick = bank::tick();
    let Some(address) = mptcp_of(sock) else {
        let Some(connection) = CONNECTIONS.get(sock) else { return };
        let connection = connection.as_ptr();
        // SAFETY: the socket's storage.
        unsafe {
            // Whoever changes the owner reports all that happened before.
            if ptr::read_volatile(&raw const (*connection).flags) & flag::MOVING == 0 {
                flush(sock, connection, [0; DIRECTIONS], tick);
            }
        }
        return;
    };
    // The connection's owner, and what was reported of this subflow.
    let (Some(connection), Some(subflow), Some(tcp)) =
        (MPTCP.get_ptr_mut(address), CONNECTIONS.get_or_create(sock), sock.tcp())
    else {
        return;
    };
    // SAFETY: the sockets' storages.
    unsafe {
        let reported = &raw mut (*subflow.as_ptr()).reported[counter::RETRANSMITS];
        let retransmits = take(reported, tcp.retransmits(), bank::of(tick));
        let moved = Moved { bytes: [0; DIRECTIONS], retransmits, rtt_ns: tcp.rtt_ns() };
        record::add(connection, &moved, tick);
    }
}

/// A segment that ends a connection at once was sent or received.
#[inline(always)]
pub fn reset(sock: Option<Sock>, direction: usize) {
    let (owner, service) = match sock.and_then(of) {
        // SAFETY: the socket's storage.
        Some(connection) => unsafe { ((*connection).owner, (*connection).service) },
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

/// The side of a connection that this is.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
pub unsafe fn side_of(connection: *const Connection) -> usize {
    // SAFETY: by the caller's promise.
    let side = unsafe { (*connection).service.side };
    if side == SERVER as u16 { SERVER } else { CLIENT }
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
fn failure(sock: Sock) -> Failure {
    match sock.error() {
        // The call to connect fails: it found no local port.
        errno::NONE if sock.is_unconnected() => Failure::AddressNotAvailable,
        errno::NONE => Failure::Aborted,
        errno::CONNREFUSED => Failure::Refused,
        errno::TIMEDOUT => Failure::TimedOut,
        errno::HOSTUNREACH | errno::NETUNREACH => Failure::Unreachable,
        _ => Failure::Other,
    }
}
