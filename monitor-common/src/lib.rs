//! What the kernel programs and the daemon agree on: map layouts, the bucket index, and which
//! kernel fields are read.
//!
//! Everything here is `no_std` and compiled into both sides, so that a layout or a bucket bound
//! exists once. Types that live in BPF maps are [`Pod`].
#![no_std]

pub mod block;
pub mod cgroup;
pub mod event;
pub mod faults;
pub mod hist;
pub mod key;
pub mod memory;
mod named;
pub mod offsets;
pub mod process;
pub mod sched;
pub mod stall;
pub mod tcp;
pub mod udp;

/// A type that may be read from, and written to, a BPF map as plain bytes.
///
/// # Safety
/// The type is `repr(C)`, has no padding, and every bit pattern is a valid value.
#[expect(
    unsafe_code,
    reason = "the marker is a promise about layout that the compiler cannot check"
)]
pub unsafe trait Pod: Copy + 'static {}

pod!((), u64);

#[expect(unsafe_code, reason = "an array has no more padding than what it is made of")]
// SAFETY: integers one behind the other.
unsafe impl<const LEN: usize> Pod for [u64; LEN] {}

/// Declares that types are [`Pod`]; the layout promises are checked where each type is defined, by
/// assertions on its size.
#[macro_export]
macro_rules! pod {
    ($($type:ty),+ $(,)?) => {
        $(
            #[expect(unsafe_code, reason = "repr(C), without padding, integers only")]
            // SAFETY: the type is repr(C) and made of integers; its size assertion rules out padding.
            unsafe impl $crate::Pod for $type {}
        )+
    };
}
