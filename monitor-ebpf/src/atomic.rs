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

/// Adds to a value that other CPUs add to as well, and returns what it was.
///
/// # Safety
/// `target` points into a map value and is 8-byte aligned.
#[inline(always)]
pub unsafe fn fetch_add(target: *mut u64, value: u64) -> u64 {
    let was;
    // SAFETY: as above.
    unsafe {
        asm!(
            "{0} = atomic_fetch_add((u64 *)({1} + 0), {0})",
            inlateout(reg) value => was, in(reg) target,
            options(nostack)
        );
    }
    was
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

/// Sets a value that is `old` to `new`, and returns what it was.
///
/// # Safety
/// `target` points into a map value and is 8-byte aligned.
#[inline(always)]
pub unsafe fn compare_exchange(target: *mut u64, old: u64, new: u64) -> u64 {
    let was;
    // SAFETY: as above.
    unsafe {
        asm!(
            "r0 = cmpxchg_64({} + 0, r0, {})",
            in(reg) target, in(reg) new, inlateout("r0") old => was,
            options(nostack)
        );
    }
    was
}

/// Sets a value after all that was written before.
///
/// # Safety
/// `target` points into a map value and is 8-byte aligned.
#[inline(always)]
pub unsafe fn publish(target: *mut u64, value: u64) {
    // SAFETY: as above.
    unsafe {
        asm!(
            "{0} = xchg_64({1} + 0, {0})",
            inlateout(reg) value => _, in(reg) target,
            options(nostack)
        );
    }
}
