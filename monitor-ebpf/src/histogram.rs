//! Histograms in maps: adding to them, merging and emptying them.

use core::ptr;

use monitor_common::hist::{self, FINE_SLOTS};

use crate::atomic;

/// The slot of a duration; `None` when it is negative, or longer than any that is recorded.
#[inline(always)]
pub fn slot_of(ns: u64) -> Option<usize> {
    let slot = hist::slot(ns);
    // The verifier does not know that the second follows from the first.
    if ns > hist::MAX_NS || slot >= FINE_SLOTS { None } else { Some(slot) }
}

/// Adds a duration to a sum and to its slot.
///
/// # Safety
/// The pointers are map values that only this CPU changes, and there is such a slot.
#[inline(always)]
pub unsafe fn add<const SLOTS: usize>(
    sum: *mut u64,
    slots: *mut [u32; SLOTS],
    slot: usize,
    ns: u64,
) {
    // SAFETY: as above.
    unsafe {
        *sum += ns;
        *slots.cast::<u32>().add(slot) += 1;
    }
}

/// Adds a duration to a sum and to its slot, to which other CPUs add as well.
///
/// # Safety
/// The pointers are map values, 8-byte aligned; there is such a slot; and the value goes on behind the
/// slots, as the verifier cannot tell where the last pair of slots ends.
#[inline(always)]
pub unsafe fn add_shared<const SLOTS: usize>(
    sum: *mut u64,
    slots: *mut [u32; SLOTS],
    slot: usize,
    ns: u64,
) {
    // SAFETY: as above. Within a tick the lower half of a pair does not overflow.
    unsafe {
        atomic::add(sum, ns);
        atomic::add(slots.cast::<u64>().add(slot / 2), 1 << (32 * (slot & 1)));
    }
}

/// Adds slots to those of a histogram that other CPUs add to as well. Bit `n` of the mask says that
/// the slots `2n` and `2n + 1` are in use.
///
/// # Safety
/// The pointers are map values, 8-byte aligned.
#[inline(always)]
pub unsafe fn merge<const SLOTS: usize>(
    mask: u64,
    from: *const [u32; SLOTS],
    to: *mut [u32; SLOTS],
) {
    for pair in 0..SLOTS / 2 {
        if mask >> pair & 1 == 1 {
            // SAFETY: as above. Both slots at once: within a tick the lower one does not overflow.
            unsafe { atomic::add(to.cast::<u64>().add(pair), *from.cast::<u64>().add(pair)) };
        }
    }
}

/// Sets a map value to zeros.
///
/// # Safety
/// Nobody else uses it, it is 8-byte aligned, and zeros are valid for it.
#[inline(always)]
pub unsafe fn clear<T>(value: *mut T) {
    for word in 0..size_of::<T>() / 8 {
        // SAFETY: as above; volatile, as the compiler would call `memset`, which goes by bytes.
        unsafe { ptr::write_volatile(value.cast::<u64>().add(word), 0) };
    }
}
