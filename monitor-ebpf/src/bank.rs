//! The bank that programs record in, see [`monitor_common::key`].

use core::ptr;

/// Written by userspace while programs run; found by its section, so it needs no name there.
static mut BANK: u64 = 0;

/// The number of the tick. Its lowest bit is the bank.
#[inline(always)]
pub fn tick() -> u64 {
    // SAFETY: a valid static; volatile, as userspace changes it.
    unsafe { ptr::read_volatile(&raw const BANK) }
}

/// The bank that a tick records in.
#[inline(always)]
pub fn of(tick: u64) -> usize {
    tick as usize & 1
}

/// The bank to record in, 0 or 1.
#[inline(always)]
pub fn active() -> usize {
    of(tick())
}
