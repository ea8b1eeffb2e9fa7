//! DNS queries: datagrams to port 53, and the responses.
//!
//! The ends of the functions that send and receive show the message, so a response is matched with its
//! query by their id. The tracepoints do not: there a response is matched with the newest outstanding
//! query of its socket, so a lost one does not shift those after it.
//!
//! Queries wait in a table and not with their socket: a resolver that gives up closes its socket, and the
//! timeout is counted all the same, by userspace, which takes out the queries that are too old.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_ktime_get_ns};
use monitor_common::{
    hist,
    tcp::{Loss, ServiceKey},
    udp::{
        ATTEMPTS, Attempt, DNS_PORT, Datagrams, Dns, NAMES, NO_ID, Query, QueryKey, TIMEOUT_NS,
        server,
    },
};
use monitor_ebpf::{
    atomic, histogram,
    kernel::{Endpoint, Task},
    slow::{self, Measured},
    table,
};

use crate::{EVENTS, QUERIES, SERVERS, datagram::Moved, owner, record::lost};

/// The first values of entries.
static NOTHING: Dns = Dns::EMPTY;
static NO_QUERY: Query = Query::EMPTY;

/// How many places an attempt with one server may have.
const PROBES: usize = 4;

/// A process has sent a query to a server.
#[inline(always)]
pub fn sent(moved: Moved, to: Endpoint, process: Option<*mut Datagrams>, bank: usize) {
    // SAFETY: a map value.
    count(process, to.address, bank, |dns| unsafe { &raw mut (*dns).queries });
    let Some(key) = key(moved) else { return lost(bank, Loss::Unreadable) };
    let Some(query) = entry(&key) else { return lost(bank, Loss::QueriesFull) };
    // SAFETY: programs have no other clock.
    let now = unsafe { bpf_ktime_get_ns() };
    // SAFETY: a map value. Of two threads that send at once by one socket, one attempt may take the
    // place of the other, which then has neither response nor timeout.
    unsafe {
        (*query).last = now;
        let place = if key.id == NO_ID {
            free(query)
        } else {
            of_server(query, to.address, true).unwrap_or_default()
        };
        (*query).next = place as u64 + 1;
        let attempt = &raw mut (*query).attempts[place % ATTEMPTS];
        let replaced = *attempt;
        *attempt = Attempt { stamp: now, server: to.address };
        if replaced.stamp == 0 {
            return;
        }
        // Who sends an id again to the same server has given up; where ids are not visible, time tells.
        let is_given_up = if key.id == NO_ID {
            now > replaced.stamp + TIMEOUT_NS
        } else {
            replaced.server == to.address
        };
        if is_given_up {
            count(process, replaced.server, bank, |dns| &raw mut (*dns).timeouts);
        } else {
            lost(bank, Loss::QueriesFull);
        }
    }
}

/// A process has received something by a socket that may have sent a query.
#[inline(always)]
pub fn received(moved: Moved, process: Option<*mut Datagrams>, bank: usize) {
    let remote = moved.sock.remote_port();
    // A connected socket receives from there alone.
    if remote != 0 && remote != DNS_PORT {
        return;
    }
    let from = moved.message.and_then(|message| message.endpoint());
    let port = from.map_or(remote, |from| from.port);
    // Without an address it is known of a connected socket alone.
    if port != DNS_PORT && (port != 0 || moved.message.is_none()) {
        return;
    }
    let Some(key) = key(moved) else { return };
    let Some(query) = QUERIES.get_ptr_mut(key) else { return };
    // SAFETY: a map value. When nothing was sent to the server that a response is from, somebody on the
    // way has changed the address, and any may be meant.
    let attempt = unsafe {
        let place = from.and_then(|from| of_server(query, from.address, false));
        let place = place.unwrap_or_else(|| newest(query));
        &raw mut (*query).attempts[place % ATTEMPTS]
    };
    // SAFETY: as above.
    let Attempt { stamp, server: address } = unsafe { *attempt };
    // SAFETY: programs have no other clock.
    let ns = unsafe { bpf_ktime_get_ns() }.wrapping_sub(stamp);
    // What is too old is left to be counted as timed out.
    if stamp == 0 || ns > TIMEOUT_NS {
        return;
    }
    // Another thread may have received a response as well: it is only one's.
    let is_ours = if key.id == NO_ID {
        // SAFETY: in a map value, 8-byte aligned.
        unsafe { atomic::compare_exchange(&raw mut (*attempt).stamp, stamp, 0) == stamp }
    } else {
        QUERIES.remove(key).is_ok()
    };
    if !is_ours {
        return;
    }
    let Some(slot) = histogram::slot_of(ns) else { return lost(bank, Loss::Implausible) };
    let slot = hist::coarse(slot);
    let measured = Measured { latency: NAMES, ns, ended: stamp + ns };
    if slow::is_slow(ns) && !slow::tell_of(&EVENTS, Task::current(), measured, server(address)) {
        lost(bank, Loss::RingFull);
    }
    for dns in entries(process, address, bank).into_iter().flatten() {
        // SAFETY: a map value, 8-byte aligned, and the sum comes behind the slots.
        unsafe {
            histogram::add_shared(&raw mut (*dns).sum_ns, &raw mut (*dns).slots, slot, ns);
        }
    }
}

/// The key of a message's query; none where the message is visible and its id is not.
#[inline(always)]
fn key(moved: Moved) -> Option<QueryKey> {
    let id = match moved.message {
        Some(message) => message.first_two(moved.result as u64)?.into(),
        None => NO_ID,
    };
    Some(QueryKey { sock: moved.sock.address(), port: moved.sock.local_port().into(), id })
}

/// The entry of a query, made when there is none yet.
#[inline(always)]
fn entry(key: &QueryKey) -> Option<*mut Query> {
    if let Some(query) = QUERIES.get_ptr_mut(key) {
        return Some(query);
    }
    // Another CPU may have been faster, which does as well.
    let no_query = &NO_QUERY;
    let _ = QUERIES.insert(key, no_query, BPF_NOEXIST.into());
    let query = QUERIES.get_ptr_mut(key)?;
    // SAFETY: a map value.
    unsafe { (*query).process = owner::current() };
    Some(query)
}

/// The place of an attempt with a server; of none yet the first place it may have, if `or_free`.
///
/// # Safety
/// `query` is a map value.
#[inline(always)]
unsafe fn of_server(query: *mut Query, server: [u32; 4], or_free: bool) -> Option<usize> {
    let folded = server[0] ^ server[1] ^ server[2] ^ server[3];
    let folded = folded ^ folded >> 16;
    let folded = folded ^ folded >> 8;
    let first = (folded ^ folded >> 4) as usize;
    for probe in 0..PROBES {
        let place = (first + probe) % ATTEMPTS;
        // SAFETY: by the caller's promise.
        let attempt = unsafe { (*query).attempts[place] };
        if attempt.stamp == 0 {
            if or_free {
                return Some(place);
            }
        } else if attempt.server == server {
            return Some(place);
        }
    }
    or_free.then_some(first % ATTEMPTS)
}

/// The first free place; when there is none, the next in turn.
///
/// # Safety
/// `query` is a map value.
#[inline(always)]
unsafe fn free(query: *mut Query) -> usize {
    // SAFETY: by the caller's promise.
    let next = unsafe { (*query).next } as usize;
    for more in 0..ATTEMPTS {
        let place = next.wrapping_add(more) % ATTEMPTS;
        // SAFETY: as above.
        if unsafe { (*query).attempts[place].stamp } == 0 {
            return place;
        }
    }
    next % ATTEMPTS
}

/// The place of the newest attempt that waits for a response.
///
/// # Safety
/// `query` is a map value.
#[inline(always)]
unsafe fn newest(query: *mut Query) -> usize {
    let (mut newest, mut found) = (0, 0);
    for place in 0..ATTEMPTS {
        // SAFETY: by the caller's promise.
        let stamp = unsafe { (*query).attempts[place].stamp };
        if stamp > newest {
            (newest, found) = (stamp, place);
        }
    }
    found
}

/// Adds one to a counter of a process and of a server.
#[inline(always)]
fn count(
    process: Option<*mut Datagrams>,
    server: [u32; 4],
    bank: usize,
    counter: impl Fn(*mut Dns) -> *mut u64,
) {
    for dns in entries(process, server, bank).into_iter().flatten() {
        // SAFETY: a map value, 8-byte aligned.
        unsafe { atomic::add(counter(dns), 1) };
    }
}

/// Where queries and responses are added to: the process's, and the server's.
#[inline(always)]
fn entries(
    process: Option<*mut Datagrams>,
    address: [u32; 4],
    bank: usize,
) -> [Option<*mut Dns>; 2] {
    let key = ServiceKey { bank: bank as u16, ..server(address) };
    let server = table::entry(&SERVERS, &key, &NOTHING, || {
        lost(bank, Loss::ServicesFull);
        ServiceKey::other(bank as u16)
    });
    // SAFETY: a map value.
    [process.map(|process| unsafe { &raw mut (*process).dns }), server]
}
