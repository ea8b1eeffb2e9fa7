//! Tables that programs add to, and that userspace empties once a tick.

use aya_ebpf::{bindings::BPF_NOEXIST, btf_maps::HashMap};

/// The entry of `key`, made as a copy of `nothing` when there is none yet. When the table is full, or
/// there is no memory for the moment, it is that of the rest, whose key comes from `rest`, which counts
/// the loss.
#[inline(always)]
pub fn entry<K, V, const ENTRIES: usize, const FLAGS: usize>(
    table: &HashMap<K, V, ENTRIES, FLAGS>,
    key: &K,
    nothing: &'static V,
    rest: impl FnOnce() -> K,
) -> Option<*mut V> {
    if let Some(entry) = table.get_ptr_mut(key) {
        return Some(entry);
    }
    // Another CPU may have been faster, which does as well.
    let _ = table.insert(key, nothing, BPF_NOEXIST.into());
    table.get_ptr_mut(key).or_else(|| table.get_ptr_mut(rest()))
}
