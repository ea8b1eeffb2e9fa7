//! Atomic operations on map values. `core` has none for this target, the instruction set does.

use core::arch::asm;

/// Adds to a value that other CPUs add to as well.
///
/// # Safety
/// `target` points into a map value and is 8-byte aligned.
#[inline(always)]
pub unsafe fn add(target: *mut u64, value: u64) {
    // SAFETY: as above.
    unsafe { asm!("lock *(u64 *)({} + 0) += {}", in(reg) target, in(reg) value, options(nostack)) }
}

/// Sets bits of a value in which other CPUs set bits as well.
///
/// # Safety
/// `target` points into a map value and is 8-byte aligned.
#[inline(always)]
pub unsafe fn or(target: *mut u64, value: u64) {
    // SAFETY: as above.
    unsafe { asm!("lock *(u64 *)({} + 0) |= {}", in(reg) target, in(reg) value, options(nostack)) }
}
