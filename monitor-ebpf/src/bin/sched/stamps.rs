//! Where a thread's stamps are: in a direct-mapped array, as nothing is found faster.

use core::ptr::{self, NonNull};

use monitor_common::sched::{StampSlot, Stamps};
use monitor_ebpf::kernel::Task;

use crate::{SLOT_MASK, STAMPS, TASKS};

/// The slot of a thread's id, if it is its own.
#[inline(always)]
pub fn slot_of(task: Task, pid: u32) -> Option<NonNull<StampSlot>> {
    let slot = NonNull::new(slot_for(pid)?)?;
    // SAFETY: a map value.
    if unsafe { (*slot.as_ptr()).owner } == task.address() { Some(slot) } else { None }
}

/// The slot that a thread id points to, whoever owns it.
#[inline(always)]
pub fn slot_for(pid: u32) -> Option<*mut StampSlot> {
    // SAFETY: a valid static; volatile, as its value is set after compiling.
    let mask = unsafe { ptr::read_volatile(&raw const SLOT_MASK) };
    STAMPS.get_ptr_mut(pid & mask)
}

/// The thread's stamps: in its slot, or in its own storage when the slot is taken.
#[inline(always)]
pub fn stamps_of(task: Task, pid: u32) -> Option<*mut Stamps> {
    // SAFETY: map values.
    unsafe {
        match slot_of(task, pid) {
            Some(slot) => Some(&raw mut (*slot.as_ptr()).stamps),
            None => TASKS.get(task).map(|stats| &raw mut (*stats.as_ptr()).stamps),
        }
    }
}

/// Sets both stamps, one word each: as one value the compiler may call `memset`, a loop.
///
/// # Safety
/// `stamps` is a map value that only this CPU changes.
#[inline(always)]
pub unsafe fn set(stamps: *mut Stamps, (out, wake): (u64, u64)) {
    // SAFETY: as above.
    unsafe {
        ptr::write_volatile(&raw mut (*stamps).out, out);
        ptr::write_volatile(&raw mut (*stamps).wake, wake);
    }
}
