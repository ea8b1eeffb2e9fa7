//! Flows: what each connection moved in a tick, for userspace to add up.
//!
//! A connection gets a flow at its first event of a tick and adds to it without a look-up by key. An idle
//! connection has none and costs nothing.

use core::ptr;

use monitor_common::tcp::{Connection, Flow, flow};
use monitor_ebpf::{atomic, bank};

use crate::{FLOWS, FLOWS_USED};

/// The flow that a connection has in a tick already.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
pub unsafe fn of(connection: *const Connection, tick: u64) -> Option<*mut Flow> {
    // SAFETY: by the caller's promise.
    let reference = unsafe { ptr::read_volatile(&raw const (*connection).flow) };
    if flow::is_of(reference, tick) { at(reference) } else { None }
}

/// Whether a connection was used in a tick before, be it that there was no room for a flow.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
pub unsafe fn is_met(connection: *const Connection, tick: u64) -> bool {
    // SAFETY: by the caller's promise.
    flow::is_of(unsafe { ptr::read_volatile(&raw const (*connection).flow) }, tick)
}

/// The flow of a connection in a tick, made if there is room for it, and whether the tick is new to the
/// connection.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
pub unsafe fn open(connection: *mut Connection, tick: u64) -> (Option<*mut Flow>, bool) {
    // SAFETY: by the caller's promise; map values are 8-byte aligned.
    unsafe {
        let target = &raw mut (*connection).flow;
        let before = ptr::read_volatile(target);
        if flow::is_of(before, tick) {
            return (at(before), false);
        }
        let bank = bank::of(tick);
        let used = match FLOWS_USED.get_ptr_mut(bank as u32) {
            Some(used) => atomic::fetch_add(used, 1),
            None => return (None, true),
        };
        let position = if used < flow::PER_BANK as u64 {
            (bank * flow::PER_BANK) as u32 + used as u32
        } else {
            flow::FULL
        };
        if let Some(flow) = FLOWS.get_ptr_mut(position) {
            (*flow).owner = (*connection).owner;
            (*flow).service = (*connection).service;
            (*flow).bytes = [0; _];
            (*flow).retransmits = 0;
            (*flow).rtt_ns = 0;
        }
        // Another CPU may have been faster: then this flow stays empty.
        let mine = flow::reference(tick, position);
        let was = atomic::compare_exchange(target, before, mine);
        if was == before { (at(mine), true) } else { (at(was), false) }
    }
}

/// Has the next event of a connection make a flow for its new owner.
///
/// # Safety
/// `connection` is a socket's storage.
#[inline(always)]
pub unsafe fn end(connection: *mut Connection) {
    // SAFETY: by the caller's promise.
    unsafe { ptr::write_volatile(&raw mut (*connection).flow, 0) };
}

#[inline(always)]
fn at(reference: u64) -> Option<*mut Flow> {
    FLOWS.get_ptr_mut(reference as u32)
}
