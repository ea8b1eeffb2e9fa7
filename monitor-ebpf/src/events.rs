//! Sending events to userspace.

use core::ptr;

use aya_ebpf::{
    bindings::{BPF_RB_AVAIL_DATA, BPF_RB_NO_WAKEUP},
    btf_maps::RingBuf,
    helpers::generated::{bpf_ktime_get_ns, bpf_ringbuf_output, bpf_ringbuf_query},
};
use monitor_common::{
    event::{Header, Kind},
    key::ProcessKey,
};

/// A ring buffer of events of several kinds, which all begin with a [`Header`].
pub type Ring<const BYTES: usize> = RingBuf<Header, BYTES>;

/// What the kernel puts before each event.
const HEADER: usize = 8;

/// What an event about a process begins with, told now.
#[inline(always)]
pub fn header(kind: Kind, key: ProcessKey, parent: u32) -> Header {
    // SAFETY: has no arguments.
    Header { kind: kind as u32, parent, time_ns: unsafe { bpf_ktime_get_ns() }, key }
}

/// Sends an event; false when the ring buffer is full. Userspace looks once a tick, so it is not woken.
#[inline(always)]
pub fn send<T: 'static, const BYTES: usize>(ring: &Ring<BYTES>, event: T) -> bool {
    let Some(mut room) = ring.reserve_untyped::<T>(0) else { return false };
    room.write(event);
    room.submit(BPF_RB_NO_WAKEUP.into());
    true
}

/// Sends an event as long as at least half of the ring buffer is free, so that what happens most, and
/// says least, leaves room for the rest.
#[inline(always)]
pub fn send_minor<T: 'static, const BYTES: usize>(ring: &Ring<BYTES>, event: T) -> bool {
    used(ring) < BYTES as u64 / 2 && send(ring, event)
}

/// Whether there is room for an event of so many bytes, without the lock that sending takes. The kernel
/// rounds up, and never fills the last byte.
#[inline(always)]
pub fn has_room<const BYTES: usize>(ring: &Ring<BYTES>, bytes: usize) -> bool {
    used(ring) + ((HEADER + bytes).next_multiple_of(8) as u64) < BYTES as u64
}

/// Bytes that are in use.
#[inline(always)]
fn used<const BYTES: usize>(ring: &Ring<BYTES>) -> u64 {
    let map = ptr::from_ref(ring).cast_mut().cast();
    // SAFETY: the loader puts the map's address here.
    unsafe { bpf_ringbuf_query(map, BPF_RB_AVAIL_DATA.into()) }
}

/// Flags of [`send_part`]: userspace reads at the end of the tick and is not woken.
pub const AT_TICK: u32 = BPF_RB_NO_WAKEUP;
/// Flags of [`send_part`]: wakes userspace, which waits for the event.
pub const AT_ONCE: u32 = 0;

/// Sends the first `bytes` of an event.
///
/// # Safety
/// `event` is a map value of at least as many bytes.
#[inline(always)]
pub unsafe fn send_part<T, const BYTES: usize>(
    ring: &Ring<BYTES>,
    event: *const T,
    bytes: u64,
    flags: u32,
) -> bool {
    let map = ptr::from_ref(ring).cast_mut().cast();
    let event = event.cast_mut().cast();
    // SAFETY: by the caller's promise, and the loader puts the map's address here.
    unsafe { bpf_ringbuf_output(map, event, bytes, flags.into()) == 0 }
}
