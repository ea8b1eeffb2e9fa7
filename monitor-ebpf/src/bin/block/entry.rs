//! The table of what was counted: a hash table in an array, as the kernel's own would cost more than
//! all the rest.
//!
//! A key is in one of [`TRIES`] entries from where its hash says. Nobody ever waits: who meets an
//! entry whose key is just being written takes the next, so a key may have two entries, and userspace
//! adds them up.

use core::ptr;

use monitor_common::block::{
    CLAIMED, ENTRIES, Entry, FREE, Key, Loss, OTHER_ENTRIES, PROCESS_ENTRIES, TRIES,
};
use monitor_ebpf::{atomic, bank};

use crate::{COUNTED, USED, lost};

/// A key as words; the last has the state in its upper half.
const WORDS: usize = size_of::<Key>() / 8;
const STATE_SHIFT: u32 = 32;

/// 2^64 divided by the golden ratio: spreads what it is multiplied with.
pub const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Where to look for a key first, by what differs in keys that are used at the same time.
#[inline(always)]
fn hash(key: &Key) -> u32 {
    let key = u64::from(key.tgid) ^ u64::from(key.device) << 32 ^ u64::from(key.operation) << 28;
    (key.wrapping_mul(GOLDEN) >> 32) as u32
}

/// The entry of a key; if the table is full, that of nobody known.
#[inline(always)]
pub fn entry(key: &Key) -> Option<*mut Entry> {
    let bank = bank::active();
    if let Some(found) = find(key, hash(key), bank, (0, PROCESS_ENTRIES)) {
        return Some(found);
    }
    lost(Loss::TableFull);
    other(key.device, key.operation)
}

/// The entry for requests of nobody known.
#[inline(always)]
pub fn other(device: u32, operation: u16) -> Option<*mut Entry> {
    let key = Key::other(device, operation);
    // Up to eight operations to a device.
    let hash = device << 3 ^ u32::from(operation);
    let found = find(&key, hash, bank::active(), (PROCESS_ENTRIES, OTHER_ENTRIES));
    if found.is_none() {
        lost(Loss::OtherFull);
    }
    found
}

/// The entry of a key in a part of the table that begins at `first` and has `entries`.
#[inline(always)]
fn find(key: &Key, hash: u32, bank: usize, (first, entries): (usize, usize)) -> Option<*mut Entry> {
    let key = ptr::from_ref(key).cast::<u64>();
    for n in 0..TRIES as u32 {
        let position = first as u32 + (hash.wrapping_add(n) & (entries as u32 - 1));
        let entry = COUNTED.get_ptr_mut((bank * ENTRIES) as u32 + position)?;
        // SAFETY: a map value, at this position, and a key.
        unsafe {
            if is(entry, key) || claim(entry, key, bank, position) {
                return Some(entry);
            }
        }
    }
    None
}

/// Whether an entry is that of a key.
///
/// # Safety
/// `key` is a [`Key`].
#[inline(always)]
unsafe fn is(entry: *mut Entry, key: *const u64) -> bool {
    // SAFETY: a map value.
    let of_entry = unsafe { &raw const (*entry).key }.cast::<u64>();
    let mut differ = 0;
    for word in 0..WORDS {
        // SAFETY: both are as long. Volatile, as other CPUs write entries.
        differ |= unsafe { ptr::read_volatile(of_entry.add(word)) ^ ptr::read(key.add(word)) };
    }
    differ == 0
}

/// Makes a free entry that of a key.
///
/// # Safety
/// `key` is a [`Key`], and the entry is at that position of the bank.
#[inline(always)]
unsafe fn claim(entry: *mut Entry, key: *const u64, bank: usize, position: u32) -> bool {
    // SAFETY: as above; the entry is this CPU's alone as soon as it is claimed.
    unsafe {
        let words = (&raw mut (*entry).key).cast::<u64>();
        let last = words.add(WORDS - 1);
        let free = u64::from(FREE) << STATE_SHIFT;
        if ptr::read_volatile(last) != free
            || atomic::compare_exchange(last, free, u64::from(CLAIMED) << STATE_SHIFT) != free
        {
            return false;
        }
        for word in 0..WORDS - 1 {
            ptr::write_volatile(words.add(word), ptr::read(key.add(word)));
        }
        atomic::publish(last, ptr::read(key.add(WORDS - 1)));
        if let Some(used) = USED.get_ptr_mut(bank as u32) {
            let word = position as usize / 64;
            if word < (*used).len() {
                atomic::or(used.cast::<u64>().add(word), 1 << (position % 64));
            }
        }
    }
    true
}
