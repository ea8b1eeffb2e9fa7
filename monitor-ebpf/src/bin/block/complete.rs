//! What is recorded when a request ends.

use core::ptr;

use aya_ebpf::helpers::bpf_ktime_get_ns;
use monitor_common::block::{
    self, DEVICE, Entry, Flush, Key, Loss, Operation, PASSTHROUGH, Pending, QUEUE, Subject,
};
use monitor_ebpf::{
    atomic, histogram,
    kernel::{Purpose, Request},
    slow::{self, Measured},
};

use crate::{
    EVENTS, FLUSHES,
    entry::{self, GOLDEN},
    lost, pending,
};

/// More than what two ways to read the clock at one time differ by.
const CLOCKS_DIFFER_NS: u64 = 1_000_000;

/// A request has ended, or that many bytes of it.
#[inline(always)]
pub fn complete(request: Request, failed: bool, bytes: u32) {
    let in_sequence = request.is_in_flush_sequence();
    let operation = match request.purpose() {
        Purpose::Operation(operation) => operation,
        Purpose::DeviceFlush => return remember_flush(request),
        Purpose::Passthrough => return passthrough(request, bytes),
    };
    let place = pending::place_of(request);
    let (entry, operation) = match place {
        // SAFETY: a map value; `operation` is no longer known where nothing remains.
        Some(place) => unsafe { (entry::entry(&(*place).key), (*place).key.operation) },
        None => {
            let operation = without_start(request, operation) as u16;
            (entry::other(request.device(), operation), operation)
        }
    };
    let Some(entry) = entry else { return };
    // SAFETY: map values.
    unsafe {
        if bytes != 0 {
            atomic::add(&raw mut (*entry).bytes, bytes.into());
        }
        // There is more to come: of a sequence the end, with the same failure, or more bytes.
        if in_sequence {
            return;
        }
        if failed {
            atomic::add(&raw mut (*entry).errors, 1);
        }
        if bytes < request.remaining() {
            return;
        }
        let Some(place) = place else {
            // What the kernel itself notes of it may be readings of its clock from before.
            atomic::add(&raw mut (*entry).untimed, 1);
            return lost(Loss::Unmatched);
        };
        let started = (*place).started;
        let issued = if operation == Operation::Flush as u16 {
            flush_issued(request, started)
        } else {
            issued(request, Some(place))
        };
        (*place).request = 0;
        record(entry, started, issued);
    }
}

/// Counts a command that only the driver understands.
#[inline(always)]
fn passthrough(request: Request, bytes: u32) {
    if bytes < request.remaining() {
        return;
    }
    if let Some(entry) = entry::other(request.device(), PASSTHROUGH) {
        // SAFETY: a map value.
        unsafe { atomic::add(&raw mut (*entry).untimed, 1) };
    }
}

/// What a request did whose start was not seen. One that only flushes is never issued itself.
#[inline(always)]
fn without_start(request: Request, operation: Operation) -> Operation {
    if operation == Operation::Flush && request.issued() != 0 {
        Operation::Write
    } else {
        operation
    }
}

/// Adds the latencies of a request that ends now.
///
/// # Safety
/// `entry` is a map value.
#[inline(always)]
unsafe fn record(entry: *mut Entry, started: u64, issued: u64) {
    // SAFETY: has no arguments.
    let now = unsafe { bpf_ktime_get_ns() };
    // The kernel reads the clock in another way than programs, so that their readings can differ a
    // little: a request that was issued at once may seem to have been issued before it was made.
    let is_at_once = started.wrapping_sub(issued) < CLOCKS_DIFFER_NS;
    let issued = if is_at_once { started } else { issued };
    let (queue_ns, device_ns) = (issued.wrapping_sub(started), now.wrapping_sub(issued));
    // SAFETY: a map value, which goes on behind the slots; and the slots are some.
    unsafe {
        if started == 0 || issued == 0 {
            atomic::add(&raw mut (*entry).untimed, 1);
            return lost(if started == 0 { Loss::NoStartTime } else { Loss::NoIssueTime });
        }
        let (Some(queue), Some(device)) =
            (histogram::slot_of(queue_ns), histogram::slot_of(device_ns))
        else {
            atomic::add(&raw mut (*entry).untimed, 1);
            return lost(Loss::Implausible);
        };
        let (sums, slots) = (&raw mut (*entry).sums, &raw mut (*entry).slots);
        histogram::add_shared(
            &raw mut (*sums)[DEVICE],
            &raw mut (*slots)[DEVICE],
            device,
            device_ns,
        );
        // That it did not wait follows from its being among those of the device alone.
        if queue != 0 {
            histogram::add_shared(
                &raw mut (*sums)[QUEUE],
                &raw mut (*slots)[QUEUE],
                queue,
                queue_ns,
            );
        }
        for (latency, ns, ended) in [(QUEUE, queue_ns, issued), (DEVICE, device_ns, now)] {
            if slow::is_slow(ns) {
                tell(&(*entry).key, latency, ns, ended);
            }
        }
    }
}

/// Tells of a request that was slow.
#[cold]
#[inline(never)]
fn tell(key: &Key, latency: usize, ns: u64, ended: u64) {
    let subject = Subject { device: key.device, operation: key.operation.into() };
    if !slow::tell(&EVENTS, (key.process(), 0), Measured { latency, ns, ended }, subject) {
        lost(Loss::RingFull);
    }
}

/// A device has been flushed, for those who asked for it: they end next.
#[inline(always)]
fn remember_flush(request: Request) {
    let queue = request.hardware_queue();
    if let Some(flush) = flush_of(queue) {
        let issued = issued(request, pending::place_of(request));
        // SAFETY: a map value.
        unsafe {
            ptr::write_volatile(&raw mut (*flush).issued, issued);
            ptr::write_volatile(&raw mut (*flush).check, issued ^ u64::from(queue));
        }
    }
    pending::end(request);
}

/// The place of a queue's last flush, which another queue may share.
#[inline(always)]
fn flush_of(queue: u32) -> Option<*mut Flush> {
    let spread = u64::from(queue).wrapping_mul(GOLDEN) >> (64 - block::FLUSHES.ilog2());
    FLUSHES.get_ptr_mut(spread as u32)
}

/// When a request was last issued; 0 if neither the kernel nor a program noted it. The later of both
/// times is right: what a program noted of the last time is no earlier than the kernel's reading of a
/// clock from before; and where no program noted the last time, the kernel did, exactly, and later than
/// anything of earlier times.
#[inline(always)]
fn issued(request: Request, place: Option<*mut Pending>) -> u64 {
    let noted = request.issued();
    match place {
        // SAFETY: a map value, which this request owns.
        Some(place) => unsafe { (*place).issued }.max(noted),
        None => noted,
    }
}

/// When the flush was issued that ended this request; 0 if it is not known.
#[inline(always)]
fn flush_issued(request: Request, started: u64) -> u64 {
    let queue = request.hardware_queue();
    let Some(flush) = flush_of(queue) else { return 0 };
    // SAFETY: a map value.
    let (issued, check) = unsafe {
        (
            ptr::read_volatile(&raw const (*flush).issued),
            ptr::read_volatile(&raw const (*flush).check),
        )
    };
    // One that was issued before this was asked for is an earlier one.
    if issued ^ check == u64::from(queue) && issued >= started { issued } else { 0 }
}
