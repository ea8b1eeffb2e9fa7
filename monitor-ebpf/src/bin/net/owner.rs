//! Which process owns a socket: the last that used it.
//!
//! A process is its id and its start time, which are compared at each message. Its names follow at the
//! first message of a tick.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::bpf_ktime_get_ns;
use monitor_common::{
    key::ProcessKey,
    tcp::{ACCEPT, CLIENT, Connection, DIRECTIONS, Listener, Loss, SERVER, flag},
};
use monitor_ebpf::{
    atomic, bank,
    kernel::{Sock, Task, Transport, state},
    process,
    slow::Measured,
};

use crate::{
    CONNECTIONS, LISTENERS, MPTCP,
    connection::{self, is_unknown, service, side_of},
    flow,
    record::{self, ATTEMPTS, Entries, Moved, flush, flush_direction, lost, skip},
};

/// `MSG_PEEK` and `MSG_ERRQUEUE`, part of the kernel's ABI: a process that receives with either takes nothing
/// out of the socket's queue.
pub const TAKES_NOTHING: i32 = 0x2 | 0x2000;

/// How many bytes a process has taken that received with these flags.
#[inline(always)]
pub fn received(result: i32, flags: i32) -> i32 {
    if flags & TAKES_NOTHING == 0 { result } else { 0 }
}

/// The process that runs now. Not to be asked for where an interrupt may be.
#[inline(always)]
pub fn current() -> ProcessKey {
    process::of(Task::current())
}

/// A process uses a socket, by which it has just sent or received as many `bytes`. Returns the socket
/// if it is one for UDP.
#[inline(always)]
pub fn used(sock: *const c_void, direction: usize, bytes: i32) -> Option<Sock> {
    let sock = Sock::from_ptr(sock)?;
    match sock.transport()? {
        // An error, such as that there is nothing to receive, moves nothing.
        Transport::Tcp if bytes > 0 => {
            used_connection(sock, direction, bytes as u64);
            None
        }
        Transport::Mptcp if bytes > 0 => {
            used_mptcp(sock, direction, bytes as u64);
            None
        }
        Transport::Tcp | Transport::Mptcp => None,
        Transport::Udp => Some(sock),
    }
}

/// A process uses a connection.
#[inline(always)]
fn used_connection(sock: Sock, direction: usize, bytes: u64) {
    let tick = bank::tick();
    let Some(connection) = CONNECTIONS.get(sock) else {
        // It waited to be accepted when the hooks were attached.
        return adopt(sock, Task::current());
    };
    let connection = connection.as_ptr();
    // SAFETY: the socket's storage.
    unsafe {
        let flags = ptr::read_volatile(&raw const (*connection).flags);
        let is_owned = flags & (flag::OPEN | flag::CLAIMED | flag::MOVING)
            == flag::OPEN | flag::CLAIMED
            && is_current(connection);
        match flow::of(connection, tick) {
            Some(flow) if is_owned => flush_direction(sock, (connection, flow), direction, tick),
            _ => {
                let mut kept = [0; DIRECTIONS];
                kept[direction] = bytes;
                // The first use in a tick looks at the owner's names too. Without room for a flow there are
                // more uses that come here.
                if !is_owned || !flow::is_met(connection, tick) {
                    claim(sock, connection, kept, tick);
                }
                if ptr::read_volatile(&raw const (*connection).flags) & flag::MOVING == 0 {
                    flush(sock, connection, [0; DIRECTIONS], tick);
                }
            }
        }
    }
}

/// A process uses an MPTCP connection. What its subflows carry is sent and received by threads of the
/// kernel, so it is the messages that count.
#[inline(always)]
fn used_mptcp(sock: Sock, direction: usize, bytes: u64) {
    let tick = bank::tick();
    let Some(connection) = MPTCP.get_ptr_mut(sock.address()) else {
        return adopt(sock, Task::current());
    };
    // SAFETY: a map value.
    unsafe {
        claim(sock, connection, [0; DIRECTIONS], tick);
        let mut moved =
            Moved { bytes: [0; DIRECTIONS], retransmits: 0, rtt_ns: sock.first_rtt_ns() };
        moved.bytes[direction] = bytes;
        record::add(connection, &moved, tick);
    }
}

/// Gives a connection to the process that runs now, under the name that it has now. What it carried so far, but
/// for the bytes that are `kept`, was its last owner's; but not its listener's, which has only waited.
///
/// # Safety
/// `connection` is the socket's storage.
#[inline(always)]
unsafe fn claim(sock: Sock, connection: *mut Connection, kept: [u64; DIRECTIONS], tick: u64) {
    // SAFETY: by the caller's promise.
    unsafe {
        let flags = &raw mut (*connection).flags;
        let before = ptr::read_volatile(flags);
        let is_open = before & flag::OPEN != 0;
        if before & flag::MOVING != 0 || !is_open && !connection::is_usable(sock, before) {
            return;
        }
        // The flags of a socket that was just made are its listener's.
        let is_claimed = is_open && before & flag::CLAIMED != 0;
        let task = Task::current();
        let (owner, start_ns) = (process::of(task), task.leader().start_time());
        let is_same = start_ns == (*connection).start_ns && is_same(&owner, connection);
        if is_same && is_claimed {
            return;
        }
        let moving = before | flag::OPEN | flag::MOVING | flag::CLAIMED;
        if atomic::compare_exchange(flags, before, moving) != before {
            return;
        }
        if !is_open {
            connection::start(sock, connection, before);
        }
        let (bank, side) = (bank::of(tick), side_of(connection));
        if is_claimed {
            flush(sock, connection, kept, tick);
        }
        let to = Entries::of_process(owner, bank);
        if !is_claimed {
            // At the same moment, so that processes add up to services.
            to.add(|traffic| &raw mut (*traffic).opened[side], 1);
            let service = Entries::of_service((*connection).service, bank);
            service.add(|traffic| &raw mut (*traffic).opened[side], 1);
            if !is_open {
                service.change_active(side, 1);
            }
        }
        if !is_open {
            to.change_active(side, 1);
        } else if !is_same {
            Entries::of_process((*connection).owner, bank).change_active(side, -1);
            to.change_active(side, 1);
        }
        (*connection).owner = owner;
        (*connection).start_ns = start_ns;
        flow::end(connection);
        moved(sock, connection, tick);
    }
}

/// Whether the process that runs now is a connection's owner, whatever its names are.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
unsafe fn is_current(connection: *const Connection) -> bool {
    let task = Task::current();
    // SAFETY: by the caller's promise.
    unsafe {
        (*connection).owner.tgid == task.tgid()
            && (*connection).start_ns == task.leader().start_time()
    }
}

/// Whether a process has the id and the names of a connection's owner.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
unsafe fn is_same(process: &ProcessKey, connection: *const Connection) -> bool {
    const WORDS: usize = size_of::<ProcessKey>() / 8;
    let process = ptr::from_ref(process).cast::<u64>();
    // SAFETY: by the caller's promise; both are as long. The compiler has no `memcmp` here.
    unsafe {
        let owner = (&raw const (*connection).owner).cast::<u64>();
        let mut differ = 0;
        for word in 0..WORDS {
            differ |= ptr::read_volatile(owner.add(word)) ^ ptr::read(process.add(word));
        }
        differ == 0
    }
}

/// The owner has changed. If the connection was closed meanwhile, that is reported now.
///
/// # Safety
/// `connection` is the storage of the socket, and this CPU has changed the owner.
#[inline(always)]
pub unsafe fn moved(sock: Sock, connection: *mut Connection, tick: u64) {
    // SAFETY: by the caller's promise.
    unsafe {
        match settle(&raw mut (*connection).flags) {
            Some(flags) if flags & flag::CLOSED != 0 => {
                connection::report_end(sock, connection, Some(flags), tick);
                connection::remove(sock);
            }
            Some(_) => {}
            None => lost(bank::of(tick), Loss::Contended),
        }
    }
}

/// Ends a change of the owner, and with it the connection if it was closed meanwhile. Returns the flags
/// that it had; nothing when other CPUs changed them all the time.
///
/// # Safety
/// `flags` are those of a socket's storage.
#[inline(always)]
unsafe fn settle(flags: *mut u64) -> Option<u64> {
    for _ in 0..ATTEMPTS {
        // SAFETY: by the caller's promise, and 8-byte aligned.
        unsafe {
            let before = ptr::read_volatile(flags);
            let now = if before & flag::CLOSED != 0 {
                before & !(flag::MOVING | flag::OPEN | flag::CLOSED) | flag::ENDED
            } else {
                before & !flag::MOVING
            };
            if atomic::compare_exchange(flags, before, now) == before {
                return Some(before);
            }
        }
    }
    None
}

/// A process has accepted a connection.
#[inline(always)]
pub fn accepted(sock: Sock) {
    if !sock.is_for_connections() {
        return;
    }
    let Some(connection) = connection::of(sock) else { return };
    let tick = bank::tick();
    // SAFETY: the socket's storage.
    unsafe {
        let ended = bpf_ktime_get_ns();
        claim(sock, connection, [0; DIRECTIONS], tick);
        // It may have been closed by the other end meanwhile, and still is accepted.
        let stamp = (*connection).stamp;
        if stamp != 0 {
            let ns = ended.wrapping_sub(stamp);
            // Older kernels accept a connection by MPTCP in two functions, of which one calls the other.
            (*connection).stamp = 0;
            let bank = bank::of(tick);
            let owner = current();
            let entries = Entries::of(owner, (*connection).service, bank);
            entries.record(bank, ACCEPT, ns);
            let measured = Measured { latency: ACCEPT, ns, ended };
            record::tell_slow(owner, (*connection).service, measured);
        }
    }
}

/// A process closes or shuts down a connection: if it was never used, this process accepted it.
#[inline(always)]
pub fn closing(sock: Sock) {
    let Some(connection) = connection::of(sock) else { return };
    // SAFETY: the socket's storage.
    unsafe {
        let is_claimed = ptr::read_volatile(&raw const (*connection).flags) & flag::CLAIMED != 0;
        if !is_claimed && !Task::current().is_kernel_thread() {
            claim(sock, connection, [0; DIRECTIONS], bank::tick());
        }
    }
}

/// Takes in a socket that a process had open before the hooks were attached. It takes two passes:
/// only once all listeners are known does their port tell which side of a connection this is.
#[inline(always)]
pub fn adopt_open_file(task: Task, sock: Sock) {
    if !sock.is_for_connections() {
        return;
    }
    if sock.state() == state::LISTEN {
        let key = Listener { net: sock.net(), port: sock.local().port.into() };
        if LISTENERS.insert(key, 1, 0).is_err() {
            lost(bank::active(), Loss::ListenersFull);
        }
    }
    adopt(sock, task);
}

/// Takes in a socket of a process.
#[inline(always)]
fn adopt(sock: Sock, task: Task) {
    let now = sock.state();
    if now == state::CLOSE || now == state::SYN_SENT {
        return;
    }
    let Some(connection) = connection::of_or_new(sock) else {
        return lost(bank::active(), Loss::NoStorage);
    };
    let port = Listener { net: sock.net(), port: sock.local().port.into() };
    let side = if LISTENERS.get_ptr(port).is_some() { SERVER } else { CLIENT };
    let bank = bank::active();
    // SAFETY: the socket's storage.
    unsafe {
        let is_new = is_unknown(connection);
        if is_new {
            (*connection).owner = process::of(task);
            (*connection).start_ns = task.leader().start_time();
            if let Some(tcp) = sock.tcp() {
                skip(tcp, connection);
            }
            let open = if now == state::LISTEN { 0 } else { flag::OPEN };
            (*connection).flags = flag::CLAIMED | flag::ADOPTED | open;
        }
        let flags = (*connection).flags;
        if flags & flag::ADOPTED == 0 {
            return;
        }
        let before = side_of(connection);
        if flags & flag::OPEN != 0 && (is_new || before != side) {
            let owner = (*connection).owner;
            if !is_new {
                Entries::of(owner, (*connection).service, bank).change_active(before, -1);
            }
            Entries::of(owner, service(sock, side), bank).change_active(side, 1);
        }
        (*connection).service = service(sock, side);
    }
}
