//! Histograms in maps: adding to them, merging and emptying them.

use core::ptr;

use monitor_common::sched::{HostHist, PAIRS, TaskBank, TaskHist};

use crate::atomic;

/// Adds a duration to a histogram at scale 3.
///
/// # Safety
/// `hist` is a map value that only this CPU changes, and has the slot.
#[inline(always)]
pub unsafe fn add_fine(hist: *mut HostHist, slot: usize, ns: u64) {
    // SAFETY: as above.
    unsafe {
        (*hist).sum += ns;
        *(&raw mut (*hist).slots).cast::<u32>().add(slot) += 1;
    }
}

/// Adds a duration to the histogram of a thread.
///
/// # Safety
/// `hist` is a map value that only this CPU changes, and has the slot.
#[inline(always)]
pub unsafe fn add_coarse(hist: *mut TaskHist, slot: usize, ns: u64) {
    // SAFETY: as above.
    unsafe {
        (*hist).sum += ns;
        (*hist).mask |= 1 << (slot / 2);
        *(&raw mut (*hist).slots).cast::<u32>().add(slot) += 1;
    }
}

/// Adds a histogram to one that other CPUs add to as well.
///
/// # Safety
/// The pointers are map values.
#[inline(always)]
pub unsafe fn merge(from: *const TaskHist, to: *mut TaskHist) {
    // SAFETY: as above.
    unsafe {
        let mask = (*from).mask;
        if mask == 0 {
            return;
        }
        atomic::add(&raw mut (*to).sum, (*from).sum);
        atomic::or(&raw mut (*to).mask, mask);
        let pairs = (&raw const (*from).slots).cast::<u64>();
        let sums = (&raw mut (*to).slots).cast::<u64>();
        for pair in 0..PAIRS {
            if mask >> pair & 1 == 1 {
                // Both slots at once: within a tick the lower one does not overflow.
                atomic::add(sums.add(pair), *pairs.add(pair));
            }
        }
    }
}

/// Whether nothing was recorded in a bank.
///
/// # Safety
/// The pointer is a map value.
#[inline(always)]
pub unsafe fn is_empty(bank: *const TaskBank) -> bool {
    // SAFETY: as above.
    unsafe { (*bank).runqueue.mask | (*bank).offcpu.mask == 0 }
}

/// Empties both histograms of a bank.
///
/// # Safety
/// Nobody else uses the bank.
#[inline(always)]
pub unsafe fn clear(bank: *mut TaskBank) {
    for word in 0..size_of::<TaskBank>() / 8 {
        // SAFETY: as above; volatile, as the compiler would call `memset`, which goes by bytes.
        unsafe { ptr::write_volatile(bank.cast::<u64>().add(word), 0) };
    }
}
