//! The bank that programs record in, see [`monitor_common::key`].

use core::ptr;

/// Written by userspace while programs run; found by its section, so it needs no name there.
static mut BANK: u64 = 0;

/// The bank to record in, 0 or 1.
#[inline(always)]
pub fn active() -> usize {
    // SAFETY: a valid static; volatile, as userspace changes it.
    unsafe { ptr::read_volatile(&raw const BANK) as usize & 1 }
}
