//! Requests under way: whose each is.

use core::ptr;

use monitor_common::block::{Key, PENDING, Pending, READY};
use monitor_ebpf::{
    atomic,
    kernel::{Purpose, Request, Task, low_half},
    process,
};

use crate::{STARTED, entry};

/// Requests are no smaller than this, and aligned: none has the same multiple as another.
const REQUEST_SHIFT: u32 = 8;
/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// How many places a request may be in. With a tenth of all places taken there is none for one in a
/// million requests that share their first.
const PLACES: u32 = 7;

/// The `n`th place that a request may be in. The first is another for every request of a device, as
/// these lie side by side; the others are for those of another device with which they share it.
#[inline(always)]
fn place(request: Request, n: u32) -> Option<*mut Pending> {
    let number = low_half(request.address()) >> REQUEST_SHIFT;
    if n == 0 {
        return STARTED.get_ptr_mut(number & (PENDING as u32 - 1));
    }
    let spread = u64::from(number).wrapping_mul(GOLDEN) >> (64 - PENDING.ilog2());
    STARTED.get_ptr_mut(spread as u32 ^ n)
}

/// Notes whose a request is: the process's that runs.
#[inline(always)]
pub fn start(request: Request) {
    // What else there is, nobody asked for.
    let Purpose::Operation(operation) = request.purpose() else { return };
    if let Some(place) = take(request) {
        note(place, request, operation as u16);
    }
}

/// Notes whose a request is, unless that is known: another may put it back into its queue, or issue it.
#[inline(always)]
pub fn start_unless_known(request: Request) {
    if place_of(request).is_none() {
        start(request);
    }
}

/// Notes when a request is issued.
#[inline(always)]
pub fn issue(request: Request, now: u64) {
    let mut place = place_of(request);
    // Nobody makes a flush of the device.
    if place.is_none() && request.purpose() == Purpose::DeviceFlush {
        place = take(request);
    }
    if let Some(place) = place {
        // SAFETY: a map value, which this request owns.
        unsafe { (*place).issued = now };
    }
}

/// A place for a request.
#[inline(always)]
fn take(request: Request) -> Option<*mut Pending> {
    for n in 0..PLACES {
        let place = place(request, n)?;
        if is_mine(place, request) {
            return Some(place);
        }
    }
    // The latest has the place: a request whose end is not seen must not have it for good.
    let place = place(request, PLACES - 1)?;
    // SAFETY: a map value.
    unsafe { (*place).request = request.address() };
    Some(place)
}

/// Takes a place if it is free. It may be the request's from before.
#[inline(always)]
fn is_mine(place: *mut Pending, request: Request) -> bool {
    let address = request.address();
    // SAFETY: a map value, 8-byte aligned. Whoever is faster has it, so that no two write their keys.
    unsafe {
        let taken = (*place).request;
        taken == address
            || taken == 0 && atomic::compare_exchange(&raw mut (*place).request, 0, address) == 0
    }
}

/// Notes whose the request is that has a place.
#[inline(always)]
fn note(place: *mut Pending, request: Request, operation: u16) {
    let owner = process::of(Task::current());
    let mut cgroup_id = owner.cgroup_id;
    if owner.kernel_thread != 0 {
        let charged = request.charged_cgroup_id();
        if charged != 0 {
            cgroup_id = charged;
        }
    }
    let key = Key {
        cgroup_id,
        comm: owner.comm,
        tgid: owner.tgid,
        kernel_thread: owner.kernel_thread,
        operation,
        device: request.device(),
        state: READY,
    };
    // SAFETY: a map value, which this request owns. Nobody looks at it before the request is issued.
    unsafe {
        (*place).issued = 0;
        (*place).key = key;
        (*place).hash = entry::hash(&key).wrapping_mul(GOLDEN) >> 32;
    }
}

/// The place of a request whose start was seen.
#[inline(always)]
pub fn place_of(request: Request) -> Option<*mut Pending> {
    for n in 0..PLACES {
        let place = place(request, n)?;
        // SAFETY: a map value.
        if unsafe { (*place).request } == request.address() {
            return Some(place);
        }
    }
    None
}

/// Makes the place of a request free.
#[inline(always)]
pub fn end(request: Request) {
    if let Some(place) = place_of(request) {
        // SAFETY: a map value.
        unsafe { ptr::write_volatile(&raw mut (*place).request, 0) };
    }
}
