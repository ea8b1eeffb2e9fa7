//! Requests under way: whose each is.

use core::ptr;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use monitor_common::block::{Key, Operation, PENDING, Pending, READY};
use monitor_ebpf::{
    atomic,
    kernel::{Bio, Purpose, Request, Task, low_half},
    process,
};

use crate::{STARTED, entry::GOLDEN};

/// Requests are no smaller than this, and aligned: none has the same multiple as another.
const REQUEST_SHIFT: u32 = 8;

/// How many places a request may be in. With a tenth of all places taken there is none for one in a
/// million requests that share their first.
const PLACES: u32 = 7;

/// The `n`th place for what has this address. The first is another for every request of a device, as
/// these lie side by side; the others are for those of another device with which they share it.
#[inline(always)]
fn place(address: u64, n: u32) -> Option<*mut Pending> {
    let number = low_half(address) >> REQUEST_SHIFT;
    if n == 0 {
        return STARTED.get_ptr_mut(number & (PENDING as u32 - 1));
    }
    let spread = u64::from(number).wrapping_mul(GOLDEN) >> (64 - PENDING.ilog2());
    STARTED.get_ptr_mut(spread as u32 ^ n)
}

/// Notes whose a request is that is just made: the process's that runs.
#[inline(always)]
pub fn start(request: Request) {
    let task = Task::current();
    let mut started = request.started();
    if started == 0 || task.has_plug() {
        // SAFETY: has no arguments.
        started = unsafe { bpf_ktime_get_ns() };
    }
    start_at(request, task, started);
}

/// Notes whose a request is, unless that is known: another may put it back into its queue, or issue it.
#[inline(always)]
pub fn start_unless_known(request: Request) {
    let is_known =
        find(request.address()).is_some() || request.is_with_flush() && of_bio(request).is_some();
    if !is_known {
        start_at(request, Task::current(), request.started());
    }
}

/// Notes whose the request is that is just made for a bio, if it has the device flushed: others may
/// issue it, and one that only flushes is never issued itself.
#[inline(always)]
pub fn start_with_flush(bio: Bio) {
    let Some(operation) = bio.operation_with_flush() else { return };
    if let Some(place) = take(bio.address()) {
        // SAFETY: has no arguments.
        let started = unsafe { bpf_ktime_get_ns() };
        note(place, Task::current(), (bio, bio.device(), operation), started);
    }
}

#[inline(always)]
fn start_at(request: Request, task: Task, started: u64) {
    // What else there is, nobody asked for.
    let Purpose::Operation(operation) = request.purpose() else { return };
    if let Some(place) = take(request.address()) {
        note(place, task, (request.bio(), request.device(), operation), started);
    }
}

/// Notes when a request is issued.
#[inline(always)]
pub fn issue(request: Request) {
    let mut place = place_of(request);
    // Nobody makes a flush of the device.
    if place.is_none() && request.purpose() == Purpose::DeviceFlush {
        place = take(request.address());
    }
    if let Some(place) = place {
        // SAFETY: a map value, which this request owns; the clock has no arguments.
        unsafe { (*place).issued = bpf_ktime_get_ns() };
    }
}

/// A place for what has this address.
#[inline(always)]
fn take(address: u64) -> Option<*mut Pending> {
    for n in 0..PLACES {
        let place = place(address, n)?;
        if is_mine(place, address) {
            return Some(place);
        }
    }
    // The latest has the place: a request whose end is not seen must not have it for good.
    let place = place(address, PLACES - 1)?;
    // SAFETY: a map value.
    unsafe { (*place).request = address };
    Some(place)
}

/// Takes a place if it is free. It may be the request's from before.
#[inline(always)]
fn is_mine(place: *mut Pending, address: u64) -> bool {
    // SAFETY: a map value, 8-byte aligned. Whoever is faster has it, so that no two write their keys.
    unsafe {
        let taken = (*place).request;
        taken == address
            || taken == 0 && atomic::compare_exchange(&raw mut (*place).request, 0, address) == 0
    }
}

/// Notes whose the request is that has a place, what it is, and when it was made.
#[inline(always)]
fn note(
    place: *mut Pending,
    task: Task,
    (bio, device, operation): (Bio, u32, Operation),
    started: u64,
) {
    let owner = process::of(task);
    let mut cgroup_id = owner.cgroup_id;
    if owner.kernel_thread != 0 {
        let charged = bio.charged_cgroup_id();
        if charged != 0 {
            cgroup_id = charged;
        }
    }
    let key = Key {
        cgroup_id,
        comm: owner.comm,
        tgid: owner.tgid,
        kernel_thread: owner.kernel_thread,
        operation: operation as u16,
        device,
        state: READY,
    };
    // SAFETY: a map value, which this request owns. Nobody looks at it before the request is issued.
    unsafe {
        (*place).started = started;
        (*place).issued = 0;
        (*place).key = key;
    }
}

/// The place of a request whose start was seen.
#[inline(always)]
pub fn place_of(request: Request) -> Option<*mut Pending> {
    find(request.address()).or_else(|| of_bio(request))
}

/// The place of a request that was noted by its bio. It is its only one, as what has the device flushed
/// is never merged.
#[inline(always)]
fn of_bio(request: Request) -> Option<*mut Pending> {
    let bio = request.bio().address();
    // Places that are free have no address.
    if bio == 0 { None } else { find(bio) }
}

/// The place of what has this address.
#[inline(always)]
fn find(address: u64) -> Option<*mut Pending> {
    for n in 0..PLACES {
        let place = place(address, n)?;
        // SAFETY: a map value.
        if unsafe { (*place).request } == address {
            return Some(place);
        }
    }
    None
}

/// Makes the place of a request free.
#[inline(always)]
pub fn end(request: Request) {
    if let Some(place) = find(request.address()) {
        // SAFETY: a map value.
        unsafe { ptr::write_volatile(&raw mut (*place).request, 0) };
    }
}
