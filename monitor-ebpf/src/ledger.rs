//! Counting what could not be measured.

use aya_ebpf::btf_maps::Array;
use monitor_common::key::BANKS;

use crate::atomic;

/// What was lost, by bank and reason.
pub type Ledger<const REASONS: usize> = Array<[u64; REASONS], BANKS>;

/// Counts a loss. Losses are rare, so the cost does not matter.
#[inline(always)]
pub fn lost<const REASONS: usize>(ledger: &Ledger<REASONS>, bank: usize, reason: usize) {
    add(ledger, bank, reason, 1);
}

/// Adds to the counter at `place`.
#[inline(always)]
pub fn add<const REASONS: usize>(
    ledger: &Ledger<REASONS>,
    bank: usize,
    place: usize,
    increase: u64,
) {
    if let Some(counters) = ledger.get_ptr_mut(bank as u32) {
        // SAFETY: a map value, 8-byte aligned; every reason has a place.
        unsafe { atomic::add(counters.cast::<u64>().add(place), increase) };
    }
}
