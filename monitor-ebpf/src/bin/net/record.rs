//! Adding to what the connections of a process, and those to a service, did in a tick.

use core::ptr;

use monitor_common::{
    hist,
    key::ProcessKey,
    tcp::{
        Connection, DIRECTIONS, Flow, Loss, RECEIVE, RTT, ServiceKey, TRANSMIT, Traffic, counter,
        flag,
    },
};
use monitor_ebpf::{
    atomic, bank, histogram,
    kernel::{Sock, TcpSock},
    ledger,
    slow::{self, Measured},
    table,
};

use crate::{EVENTS, LOST, PROCESSES, SERVICES, flow};

/// The first value of an entry.
static NOTHING: Traffic = Traffic::EMPTY;

/// How often it is tried to change a word that other CPUs change too.
pub const ATTEMPTS: usize = 4;

/// Where something is added to: what a process's connections did, and what those to a service did.
pub struct Entries([Option<*mut Traffic>; 2]);

impl Entries {
    /// For a process and a service.
    #[inline(always)]
    pub fn of(owner: ProcessKey, service: ServiceKey, bank: usize) -> Self {
        Self([process(owner, bank), self::service(service, bank)])
    }

    /// For a process alone.
    #[inline(always)]
    pub fn of_process(owner: ProcessKey, bank: usize) -> Self {
        Self([process(owner, bank), None])
    }

    /// For a service alone.
    #[inline(always)]
    pub fn of_service(service: ServiceKey, bank: usize) -> Self {
        Self([None, self::service(service, bank)])
    }

    /// Adds to a counter.
    #[inline(always)]
    pub fn add(&self, counter: impl Fn(*mut Traffic) -> *mut u64, increase: u64) {
        for entry in self.0.iter().flatten() {
            // SAFETY: a map value, 8-byte aligned.
            unsafe { atomic::add(counter(*entry), increase) };
        }
    }

    /// Changes the number of open connections.
    #[inline(always)]
    pub fn change_active(&self, side: usize, change: i64) {
        // SAFETY: a map value; the sides are all there are.
        self.add(|traffic| unsafe { (&raw mut (*traffic).active[side]).cast() }, change as u64);
    }

    /// Adds a duration to a histogram.
    #[inline(always)]
    pub fn record(&self, bank: usize, latency: usize, ns: u64) {
        let Some(slot) = histogram::slot_of(ns) else { return lost(bank, Loss::Implausible) };
        let slot = hist::coarse(slot);
        for entry in self.0.iter().flatten() {
            // SAFETY: a map value. The sums come before the slots, which end with the value: the last
            // pair is a whole one.
            unsafe {
                let (sums, slots) = (&raw mut (**entry).sums, &raw mut (**entry).slots);
                histogram::add_shared(
                    &raw mut (*sums)[latency],
                    &raw mut (*slots)[latency],
                    slot,
                    ns,
                );
            }
        }
    }
}

#[inline(always)]
fn process(mut owner: ProcessKey, bank: usize) -> Option<*mut Traffic> {
    owner.bank = bank as u16;
    table::entry(&PROCESSES, &owner, &NOTHING, || {
        lost(bank, Loss::ProcessesFull);
        ProcessKey::other(bank as u16)
    })
}

#[inline(always)]
fn service(mut service: ServiceKey, bank: usize) -> Option<*mut Traffic> {
    service.bank = bank as u16;
    table::entry(&SERVICES, &service, &NOTHING, || {
        lost(bank, Loss::ServicesFull);
        ServiceKey::other(bank as u16)
    })
}

/// Tells what a process waited for with a service, if it was long.
#[inline(always)]
pub fn tell_slow(owner: ProcessKey, service: ServiceKey, measured: Measured) {
    if slow::is_slow(measured.ns) && !slow::tell(&EVENTS, (owner, 0), measured, service) {
        lost(bank::active(), Loss::RingFull);
    }
}

/// Reports what a connection moved since its last report, but for the last bytes that are `kept`, and its
/// round-trip time, as that of its owner. Of MPTCP, messages are counted and no segments.
///
/// # Safety
/// `connection` is the socket's storage.
#[inline(always)]
pub unsafe fn flush(sock: Sock, connection: *mut Connection, kept: [u64; DIRECTIONS], tick: u64) {
    let Some(tcp) = sock.tcp().filter(|tcp| tcp.mptcp().is_none()) else { return };
    let bank = bank::of(tick);
    // SAFETY: by the caller's promise.
    unsafe {
        let reported = &raw mut (*connection).reported;
        let sent = tcp.bytes_written((*connection).first as u32).wrapping_sub(kept[TRANSMIT]);
        let sent = take(&raw mut (*reported)[counter::TRANSMIT], sent, bank);
        let received = tcp.bytes_received().wrapping_sub(kept[RECEIVE]);
        let received = take(&raw mut (*reported)[counter::RECEIVE], received, bank);
        let again = take(&raw mut (*reported)[counter::RETRANSMITS], tcp.retransmits(), bank);
        if sent | received | again == 0 {
            return;
        }
        let is_open = ptr::read_volatile(&raw const (*connection).flags) & flag::OPEN != 0;
        let rtt_ns = if is_open { tcp.rtt_ns() } else { 0 };
        let mut moved = Moved { bytes: [0; DIRECTIONS], retransmits: again, rtt_ns };
        (moved.bytes[TRANSMIT], moved.bytes[RECEIVE]) = (sent, received);
        add(connection, &moved, tick);
    }
}

/// What a connection moved.
pub struct Moved {
    pub bytes: [u64; DIRECTIONS],
    pub retransmits: u64,
    /// 0 for none.
    pub rtt_ns: u64,
}

/// Adds what a connection moved to its flow of the tick, or else to the tables.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
pub unsafe fn add(connection: *mut Connection, moved: &Moved, tick: u64) {
    let bank = bank::of(tick);
    // SAFETY: by the caller's promise.
    unsafe {
        let (flow, is_first) = flow::open(connection, tick);
        if let Some(flow) = flow {
            atomic::add(&raw mut (*flow).bytes[TRANSMIT], moved.bytes[TRANSMIT]);
            atomic::add(&raw mut (*flow).bytes[RECEIVE], moved.bytes[RECEIVE]);
            atomic::add(&raw mut (*flow).retransmits, moved.retransmits);
            if moved.rtt_ns != 0 {
                (*flow).rtt_ns = moved.rtt_ns;
            }
            return;
        }
        let entries = Entries::of((*connection).owner, (*connection).service, bank);
        entries.add(|traffic| &raw mut (*traffic).bytes[TRANSMIT], moved.bytes[TRANSMIT]);
        entries.add(|traffic| &raw mut (*traffic).bytes[RECEIVE], moved.bytes[RECEIVE]);
        entries.add(|traffic| &raw mut (*traffic).retransmits, moved.retransmits);
        if is_first && moved.rtt_ns != 0 {
            entries.record(bank, RTT, moved.rtt_ns);
        }
    }
}

/// Reports one direction of a connection that has a flow in the tick: what a message costs.
///
/// # Safety
/// `connection` is the socket's storage, and `flow` its flow.
#[inline(always)]
pub unsafe fn flush_direction(
    sock: Sock,
    (connection, flow): (*mut Connection, *mut Flow),
    direction: usize,
    tick: u64,
) {
    let Some(tcp) = sock.tcp() else { return };
    // SAFETY: by the caller's promise; the places of directions are those of their counters.
    unsafe {
        let now = if direction == TRANSMIT {
            tcp.bytes_written((*connection).first as u32)
        } else {
            tcp.bytes_received()
        };
        let increase = take(&raw mut (*connection).reported[direction], now, bank::of(tick));
        if increase != 0 {
            atomic::add(&raw mut (*flow).bytes[direction], increase);
            (*flow).rtt_ns = tcp.rtt_ns();
        }
    }
}

/// Takes the counters as they are for reported.
///
/// # Safety
/// `connection` is the socket's storage.
#[inline(always)]
pub unsafe fn skip(tcp: TcpSock, connection: *mut Connection) {
    // SAFETY: by the caller's promise.
    unsafe {
        let (first, reported) = (tcp.first(), &raw mut (*connection).reported);
        (*connection).first = first.into();
        (*reported)[counter::TRANSMIT] = tcp.bytes_written(first);
        (*reported)[counter::RECEIVE] = tcp.bytes_received();
        (*reported)[counter::RETRANSMITS] = tcp.retransmits();
        flow::end(connection);
    }
}

/// What a counter that is now at `now` has not reported yet. Several CPUs may report one connection at
/// once: each increase is given to one of them.
///
/// # Safety
/// `reported` is a map value, 8-byte aligned.
#[inline(always)]
pub unsafe fn take(reported: *mut u64, now: u64, bank: usize) -> u64 {
    for _ in 0..ATTEMPTS {
        // SAFETY: as above.
        unsafe {
            let before = ptr::read_volatile(reported);
            let increase = now.wrapping_sub(before);
            // Whoever asked in between has seen more.
            if increase as i64 <= 0 {
                return 0;
            }
            if atomic::compare_exchange(reported, before, now) == before {
                return increase;
            }
        }
    }
    lost(bank, Loss::Contended);
    0
}

/// Counts what could not be recorded.
#[inline(always)]
pub fn lost(bank: usize, reason: Loss) {
    ledger::lost(&LOST, bank, reason as usize);
}
