//! What is recorded when a request ends.

use aya_ebpf::helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns};
use monitor_common::block::{DEVICE, Entry, Key, Loss, Operation, Pending, QUEUE, Subject};
use monitor_ebpf::{
    atomic, histogram,
    kernel::{Purpose, Request},
    slow::{self, Measured},
};

use crate::{EVENTS, FLUSHES, entry, lost, pending};

/// A request has ended, or that many bytes of it.
#[inline(always)]
pub fn complete(request: Request, failed: bool, bytes: u32) {
    let in_sequence = request.is_in_flush_sequence();
    let operation = match request.purpose() {
        Purpose::Operation(operation) => operation,
        Purpose::DeviceFlush => return remember_flush(request),
        Purpose::Passthrough => return lost(Loss::Passthrough),
    };
    let place = pending::place_of(request);
    let (entry, operation) = match place {
        // SAFETY: a map value; `operation` is no longer known where nothing remains.
        Some(place) => unsafe {
            (entry::entry(&(*place).key, (*place).hash), (*place).key.operation)
        },
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
        let started = request.started();
        let mut issued = issued(request, place);
        if operation == Operation::Flush as u16 {
            issued = flush_issued(request, started);
        }
        match place {
            Some(place) => (*place).request = 0,
            None => lost(Loss::Unmatched),
        }
        record(entry, started, issued);
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
    // Who issues requests of others may note the time it read for its own before: then this one was
    // issued as soon as it was made.
    let issued = if issued < started && issued != 0 { started } else { issued };
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

/// A device has been flushed, for those who asked for it: they end next, on this CPU.
#[inline(always)]
fn remember_flush(request: Request) {
    // SAFETY: has no arguments.
    if let Some(flush) = FLUSHES.get_ptr_mut(unsafe { bpf_get_smp_processor_id() }) {
        // SAFETY: a map value that only this CPU uses.
        unsafe {
            (*flush).queue = request.queue();
            (*flush).issued = issued(request, pending::place_of(request));
        }
    }
    pending::end(request);
}

/// When a request was last issued, as the kernel noted it or else a program of ours; 0 if neither did.
#[inline(always)]
fn issued(request: Request, place: Option<*mut Pending>) -> u64 {
    match (request.issued(), place) {
        // SAFETY: a map value, which this request owns.
        (0, Some(place)) => unsafe { (*place).issued },
        (issued, _) => issued,
    }
}

/// When the flush was issued that ended this request; 0 if it is not known.
#[inline(always)]
fn flush_issued(request: Request, started: u64) -> u64 {
    // SAFETY: has no arguments.
    let Some(flush) = FLUSHES.get_ptr_mut(unsafe { bpf_get_smp_processor_id() }) else { return 0 };
    // SAFETY: a map value that only this CPU uses.
    let flush = unsafe { *flush };
    // One that was issued before this was asked for is an earlier one.
    if flush.queue == request.queue() && flush.issued >= started { flush.issued } else { 0 }
}
