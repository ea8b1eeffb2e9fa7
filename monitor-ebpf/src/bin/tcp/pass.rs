//! The pass over all sockets, once a tick.

use monitor_common::tcp::{CLIENT, DIRECTIONS, SERVER, flag};
use monitor_ebpf::{bank, kernel::Sock};

use crate::{
    CONNECTIONS, SOCKETS,
    record::{Entries, flush},
};

/// Reports one socket, in the bank that no hook writes to.
#[inline(always)]
pub fn report(sock: Sock) {
    let Some(connection) = CONNECTIONS.get(sock) else { return };
    let (ended, connection) = (bank::active() ^ 1, connection.as_ptr());
    let sockets = SOCKETS.get_ptr_mut(ended as u32);
    // SAFETY: the socket's storage, and a map value of the bank that nobody else writes to.
    unsafe {
        if let Some(sockets) = sockets {
            *sockets += 1;
        }
        flush(sock, connection, [0; DIRECTIONS], ended);
        if (*connection).flags & flag::OPEN == 0 {
            return;
        }
        let service = (*connection).service;
        let entries = Entries::of((*connection).owner, service, ended);
        if service.side == SERVER as u16 {
            entries.add(|traffic| &raw mut (*traffic).active[SERVER], 1);
        } else {
            entries.add(|traffic| &raw mut (*traffic).active[CLIENT], 1);
        }
    }
}
