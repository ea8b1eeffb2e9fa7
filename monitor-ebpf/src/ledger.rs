//! Counting what could not be measured.

use aya_ebpf::btf_maps::Array;
use monitor_common::key::BANKS;

use crate::atomic;

/// What was lost, by bank and reason.
pub type Ledger<const REASONS: usize> = Array<[u64; REASONS], BANKS>;

/// Counts a loss. Losses are rare, so the cost does not matter.
#[inline(always)]
pub fn lost<const REASONS: usize>(ledger: &Ledger<REASONS>, bank: usize, reason: usize) {
    if let Some(losses) = ledger.get_ptr_mut(bank as u32) {
        // SAFETY: a map value, 8-byte aligned; every reason has a place.
        unsafe { atomic::add(losses.cast::<u64>().add(reason), 1) };
    }
}
