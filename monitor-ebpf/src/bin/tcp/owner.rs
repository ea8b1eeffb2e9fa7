//! Which process owns a socket: the last that used it.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use monitor_common::{
    key::ProcessKey,
    tcp::{ACCEPT, CLIENT, Connection, DIRECTIONS, Listener, Loss, SERVER, Settled, flag},
};
use monitor_ebpf::{
    atomic, bank,
    kernel::{Sock, Task, Transport, low_half},
    process,
    slow::Measured,
};

use crate::{
    CONNECTIONS, LISTENERS, SETTLED, SETTLED_SLOTS,
    connection::{is_unknown, service},
    record::{self, Entries, flush, lost, skip},
    state,
};

/// The process that runs now. Not to be asked for where an interrupt may be.
#[inline(always)]
pub fn current() -> ProcessKey {
    process::of(Task::current())
}

/// A process uses a socket, by which it has just sent or received as many `bytes`. Returns the socket
/// if it is one for UDP.
#[inline(always)]
pub fn used(sock: *const c_void, bytes: impl FnOnce() -> [u64; DIRECTIONS]) -> Option<Sock> {
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let sock = Sock::from_ptr(sock)?;
    if is_settled(sock, tgid) {
        return None;
    }
    match sock.transport()? {
        Transport::Tcp => {
            used_connection(sock, tgid, bytes());
            None
        }
        Transport::Udp => Some(sock),
    }
}

/// A process uses a connection that it is not known to own.
#[inline(always)]
fn used_connection(sock: Sock, tgid: u32, bytes: [u64; DIRECTIONS]) {
    let is_known = match CONNECTIONS.get(sock) {
        // SAFETY: the socket's storage.
        Some(connection) => unsafe {
            let connection = connection.as_ptr();
            if (*connection).owner.tgid != tgid || (*connection).flags & flag::CLAIMED == 0 {
                claim(sock, connection, tgid, bytes);
            }
            true
        },
        // It waited to be accepted when the hooks were attached.
        None => adopt(sock, Task::current()),
    };
    // What is closed is used no more, and another socket may be made in its place.
    if is_known && sock.state() != state::CLOSE {
        settle(sock, tgid);
    }
}

/// Whether a process is known to own a socket: nothing is to be done then, and nothing is found as
/// fast as this.
#[inline(always)]
fn is_settled(sock: Sock, tgid: u32) -> bool {
    // SAFETY: a map value.
    slot(sock).is_some_and(|slot| unsafe {
        (*slot).sock == sock.address() && (*slot).tgid == u64::from(tgid)
    })
}

/// Notes that a process owns a socket. Should two do so at once, one may be taken for the owner of the
/// other's until the next message.
#[inline(always)]
fn settle(sock: Sock, tgid: u32) {
    if let Some(slot) = slot(sock) {
        // SAFETY: a map value.
        unsafe {
            (*slot).tgid = tgid.into();
            (*slot).sock = sock.address();
        }
    }
}

/// Has the next process looked at that uses a socket, or one that is made in its place.
#[inline(always)]
pub fn unsettle(sock: Sock) {
    if let Some(slot) = slot(sock) {
        // SAFETY: a map value.
        unsafe {
            if (*slot).sock == sock.address() {
                (*slot).tgid = 0;
            }
        }
    }
}

#[inline(always)]
fn slot(sock: Sock) -> Option<*mut Settled> {
    // The bits in which sockets differ most.
    SETTLED.get_ptr_mut(low_half(sock.address()) >> 6 & (SETTLED_SLOTS as u32 - 1))
}

/// Gives a socket to the process that runs now. What it carried so far, but for the last `bytes`, was
/// its last owner's; but not its listener's, which has only waited.
///
/// # Safety
/// `connection` is the socket's storage.
#[inline(always)]
unsafe fn claim(sock: Sock, connection: *mut Connection, tgid: u32, bytes: [u64; DIRECTIONS]) {
    // SAFETY: by the caller's promise.
    unsafe {
        if (*connection).flags & flag::CLAIMED != 0 {
            flush(sock, connection, bytes, bank::active());
        }
        if (*connection).owner.tgid != tgid {
            (*connection).owner = current();
        }
        atomic::or(&raw mut (*connection).flags, flag::CLAIMED);
    }
}

/// A process has accepted a connection.
#[inline(always)]
pub fn accepted(sock: Sock) {
    if !sock.is_tcp() {
        return;
    }
    let Some(connection) = CONNECTIONS.get(sock) else { return };
    let connection = connection.as_ptr();
    // SAFETY: the socket's storage.
    unsafe {
        let ended = bpf_ktime_get_ns();
        let ns = ended.wrapping_sub((*connection).stamp);
        (*connection).owner = current();
        atomic::or(&raw mut (*connection).flags, flag::CLAIMED);
        unsettle(sock);
        // It may have been closed by the other end meanwhile, and still is accepted.
        if (*connection).stamp != 0 {
            let bank = bank::active();
            let entries = Entries::of((*connection).owner, (*connection).service, bank);
            entries.record(bank, ACCEPT, ns);
            let measured = Measured { latency: ACCEPT, ns, ended };
            record::tell_slow((*connection).owner, (*connection).service, measured);
        }
    }
}

/// Takes in a socket that a process had open before the hooks were attached. It takes two passes:
/// only once all listeners are known does their port tell which side of a connection this is.
#[inline(always)]
pub fn adopt_open_file(task: Task, sock: Sock) {
    if !sock.is_tcp() {
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

/// Takes in a socket of a process; whether it is measured from now on.
#[inline(always)]
fn adopt(sock: Sock, task: Task) -> bool {
    let now = sock.state();
    if now == state::CLOSE || now == state::SYN_SENT {
        return false;
    }
    let Some(connection) = CONNECTIONS.get_or_create(sock) else {
        lost(bank::active(), Loss::NoStorage);
        return false;
    };
    let connection = connection.as_ptr();
    let port = Listener { net: sock.net(), port: sock.local().port.into() };
    let side = if LISTENERS.get_ptr(port).is_some() { SERVER } else { CLIENT };
    // SAFETY: the socket's storage.
    unsafe {
        if is_unknown(connection) {
            (*connection).owner = process::of(task);
            if let Some(tcp) = sock.tcp() {
                skip(tcp, connection);
            }
            let open = if now == state::LISTEN { 0 } else { flag::OPEN };
            (*connection).flags = flag::CLAIMED | flag::ADOPTED | open;
        }
        if (*connection).flags & flag::ADOPTED != 0 {
            (*connection).service = service(sock, side);
        }
    }
    true
}
