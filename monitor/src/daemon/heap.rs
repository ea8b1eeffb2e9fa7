//! The daemon's own memory.

/// Gives memory back that was freed. Loading probes takes many times what running them does, in small
/// pieces, and glibc would keep all of it.
pub(super) fn give_back() {
    #[cfg(target_env = "gnu")]
    #[expect(unsafe_code, reason = "libc has no wrapper for malloc_trim")]
    // SAFETY: takes an integer only, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
