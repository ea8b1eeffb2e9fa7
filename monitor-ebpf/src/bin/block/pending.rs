//! Requests under way: whose each is.

use core::ptr;

use monitor_common::block::{Key, PENDING, Pending, READY};
use monitor_ebpf::{
    kernel::{Purpose, Request, Task},
    process,
};

use crate::{STARTED, entry};

/// Requests are no smaller than this, and aligned: none has the same multiple as another.
const REQUEST_SHIFT: u32 = 8;
/// 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The two places that a request may be in. The first is another for every request of a device, as
/// these lie side by side; the second is for those of another device with which they share it.
#[inline(always)]
fn places(request: Request) -> [u32; 2] {
    let number = request.low_address() >> REQUEST_SHIFT;
    let spread = u64::from(number).wrapping_mul(GOLDEN) >> (64 - PENDING.ilog2());
    [number & (PENDING as u32 - 1), spread as u32]
}

/// Notes whose a request is: the process's that runs.
#[inline(always)]
pub fn start(request: Request) {
    // What else there is, nobody asked for.
    let Purpose::Operation(operation) = request.purpose() else { return };
    let [first, second] = places(request);
    let Some(place) = STARTED.get_ptr_mut(first) else { return };
    // SAFETY: a map value.
    let taken = unsafe { (*place).request };
    if taken == 0 || taken == request.address() {
        return note(place, request, operation as u16);
    }
    // The latest has the place: a request whose end is not seen must not have it for good.
    if let Some(place) = STARTED.get_ptr_mut(second) {
        note(place, request, operation as u16);
    }
}

#[inline(always)]
fn note(place: *mut Pending, request: Request, operation: u16) {
    let task = Task::current();
    let owner = process::key(task.leader(), task.tgid(), 0);
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
    // SAFETY: a map value, which this request owns from now on. It is the owner before the key is
    // written, which nobody looks at before the request ends.
    unsafe {
        (*place).request = request.address();
        (*place).key = key;
        (*place).hash = entry::hash(&key).wrapping_mul(GOLDEN) >> 32;
    }
}

/// The place of a request whose start was seen.
#[inline(always)]
pub fn place_of(request: Request) -> Option<*mut Pending> {
    let [first, second] = places(request);
    let place = STARTED.get_ptr_mut(first)?;
    // SAFETY: map values.
    unsafe {
        if (*place).request == request.address() {
            return Some(place);
        }
        let place = STARTED.get_ptr_mut(second)?;
        if (*place).request == request.address() { Some(place) } else { None }
    }
}

/// Makes the place of a request free.
#[inline(always)]
pub fn end(request: Request) {
    if let Some(place) = place_of(request) {
        // SAFETY: a map value.
        unsafe { ptr::write_volatile(&raw mut (*place).request, 0) };
    }
}
