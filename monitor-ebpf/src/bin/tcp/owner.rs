//! Which process owns a socket: the last that used it.

use core::ffi::c_void;

use aya_ebpf::helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns};
use monitor_common::{
    key::ProcessKey,
    tcp::{ACCEPT, CLIENT, Connection, DIRECTIONS, Listener, Loss, SERVER, flag},
};
use monitor_ebpf::{
    bank,
    kernel::{Sock, Task},
    process,
};

use crate::{
    CONNECTIONS, LISTENERS,
    connection::{is_unknown, service},
    record::{Entries, flush, lost, skip},
    state,
};

/// The process that runs now. Not to be asked for where an interrupt may be.
#[inline(always)]
pub fn current() -> ProcessKey {
    of(Task::current())
}

#[inline(always)]
fn of(task: Task) -> ProcessKey {
    process::key(task.leader(), task.tgid(), 0)
}

/// A process uses a socket, by which it has just sent or received as many `bytes`.
#[inline(always)]
pub fn used(sock: *const c_void, bytes: [u64; DIRECTIONS]) -> i32 {
    if let Some(sock) = Sock::from_ptr(sock)
        && sock.is_tcp()
    {
        match CONNECTIONS.get(sock) {
            // SAFETY: the socket's storage.
            Some(connection) => unsafe {
                let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
                let connection = connection.as_ptr();
                if (*connection).owner.tgid != tgid || (*connection).flags & flag::CLAIMED == 0 {
                    claim(sock, connection, tgid, bytes);
                }
            },
            // It waited to be accepted when the hooks were attached.
            None => adopt(sock, Task::current()),
        }
    }
    0
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
        (*connection).flags |= flag::CLAIMED;
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
        let waited = bpf_ktime_get_ns().wrapping_sub((*connection).stamp);
        (*connection).owner = current();
        (*connection).flags |= flag::CLAIMED;
        // It may have been closed by the other end meanwhile, and still is accepted.
        if (*connection).stamp != 0 {
            let bank = bank::active();
            let entries = Entries::of((*connection).owner, (*connection).service, bank);
            entries.record(bank, ACCEPT, waited);
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
        // When the table is full, what it accepted is taken for a client's.
        let _ = LISTENERS.insert(key, 1, 0);
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
    let Some(connection) = CONNECTIONS.get_or_create(sock) else {
        return lost(bank::active(), Loss::NoStorage);
    };
    let connection = connection.as_ptr();
    let port = Listener { net: sock.net(), port: sock.local().port.into() };
    let side = if LISTENERS.get_ptr(port).is_some() { SERVER } else { CLIENT };
    // SAFETY: the socket's storage.
    unsafe {
        if is_unknown(connection) {
            (*connection).owner = of(task);
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
}
