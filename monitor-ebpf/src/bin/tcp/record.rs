//! Adding to what the connections of a process, and those to a service, did in a tick.

use core::ptr;

use monitor_common::{
    hist,
    key::ProcessKey,
    tcp::{
        Connection, DIRECTIONS, Loss, RECEIVE, RTT, ServiceKey, TRANSMIT, Traffic, counter, flag,
    },
};
use monitor_ebpf::{
    atomic, bank, histogram,
    kernel::{Sock, TcpSock},
    ledger,
    slow::{self, Measured},
    table,
};

use crate::{EVENTS, LOST, PROCESSES, SERVICES};

/// The first value of an entry.
static NOTHING: Traffic = Traffic::EMPTY;

/// How often it is tried to be the one who reports what a socket counted.
const ATTEMPTS: usize = 4;

/// Where something is added to: what a process's connections did, and what those to a service did.
pub struct Entries([Option<*mut Traffic>; 2]);

impl Entries {
    /// For a process and a service.
    #[inline(always)]
    pub fn of(mut owner: ProcessKey, mut service: ServiceKey, bank: usize) -> Self {
        owner.bank = bank as u16;
        service.bank = bank as u16;
        let process = table::entry(&PROCESSES, &owner, &NOTHING, || {
            lost(bank, Loss::ProcessesFull);
            ProcessKey::other(bank as u16)
        });
        let service = table::entry(&SERVICES, &service, &NOTHING, || {
            lost(bank, Loss::ServicesFull);
            ServiceKey::other(bank as u16)
        });
        Self([process, service])
    }

    /// Adds to a counter.
    #[inline(always)]
    pub fn add(&self, counter: impl Fn(*mut Traffic) -> *mut u64, increase: u64) {
        for entry in self.0.iter().flatten() {
            // SAFETY: a map value, 8-byte aligned.
            unsafe { atomic::add(counter(*entry), increase) };
        }
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

/// Tells what a process waited for with a service, if it was long.
#[inline(always)]
pub fn tell_slow(owner: ProcessKey, service: ServiceKey, measured: Measured) {
    if slow::is_slow(measured.ns) && !slow::tell(&EVENTS, (owner, 0), measured, service) {
        lost(bank::active(), Loss::RingFull);
    }
}

/// Reports what a socket has counted since it was last asked for, but for the last bytes that are
/// `kept`; and its round-trip time, if it had anything to report.
///
/// # Safety
/// `connection` is the socket's storage.
#[inline(always)]
pub unsafe fn flush(sock: Sock, connection: *mut Connection, kept: [u64; DIRECTIONS], bank: usize) {
    let Some(tcp) = sock.tcp() else { return };
    // SAFETY: by the caller's promise.
    unsafe {
        let reported = &raw mut (*connection).reported;
        let sent = tcp.bytes_sent().wrapping_sub(kept[TRANSMIT]);
        let sent = take(&raw mut (*reported)[counter::TRANSMIT], sent, bank);
        let received = tcp.bytes_received().wrapping_sub(kept[RECEIVE]);
        let received = take(&raw mut (*reported)[counter::RECEIVE], received, bank);
        let again = take(&raw mut (*reported)[counter::RETRANSMITS], tcp.retransmits(), bank);
        let flags = ptr::read_volatile(&raw const (*connection).flags);
        let sampled = flags & (flag::OPEN | flag::SAMPLED) != flag::OPEN;
        if sent | received | again == 0 && sampled {
            return;
        }
        let entries = Entries::of((*connection).owner, (*connection).service, bank);
        entries.add(|traffic| &raw mut (*traffic).bytes[TRANSMIT], sent);
        entries.add(|traffic| &raw mut (*traffic).bytes[RECEIVE], received);
        entries.add(|traffic| &raw mut (*traffic).retransmits, again);
        let rtt_ns = tcp.rtt_ns();
        if flags & flag::OPEN != 0 && rtt_ns != 0 {
            atomic::or(&raw mut (*connection).flags, flag::SAMPLED);
            entries.record(bank, RTT, rtt_ns);
        }
    }
}

/// Takes a counter as it is for reported.
///
/// # Safety
/// `connection` is the socket's storage.
#[inline(always)]
pub unsafe fn skip(tcp: TcpSock, connection: *mut Connection) {
    // SAFETY: by the caller's promise.
    unsafe {
        let reported = &raw mut (*connection).reported;
        (*reported)[counter::TRANSMIT] = tcp.bytes_sent();
        (*reported)[counter::RECEIVE] = tcp.bytes_received();
        (*reported)[counter::RETRANSMITS] = tcp.retransmits();
    }
}

/// What a counter that is now at `now` has not reported yet. A pass and the end of a connection may
/// ask at once: each increase is given to one of them.
///
/// # Safety
/// `reported` is a map value, 8-byte aligned.
#[inline(always)]
unsafe fn take(reported: *mut u64, now: u64, bank: usize) -> u64 {
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
