//! `block`: how long every request to a block device waits in its queue and for the device, whose it
//! is, and what it moved.
//!
//! A request is made in the context of who asked for it, which is noted in a slot found by the
//! request's address, with the time. Where the kernel itself notes exact times in every request, these
//! are taken; where it may take an earlier reading of its clock, it is read here. All else happens when
//! the request ends.
#![no_std]
#![no_main]

mod complete;
mod entry;
mod pending;

use aya_ebpf::{
    btf_maps::Array,
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use monitor_common::{
    block::{self, ENTRIES, Entry, Flush, Loss, PENDING, Pending, Used},
    key::BANKS,
};
use monitor_ebpf::{
    bank,
    kernel::{Bio, Request, Task},
    ledger::{self, Ledger},
    slow::SlowRing,
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Requests under way.
#[btf_map]
static STARTED: Array<Pending, PENDING> = Array::new();
/// One bank after the other.
#[btf_map]
static COUNTED: Array<Entry, { BANKS * ENTRIES }> = Array::new();
/// By bank.
#[btf_map]
static USED: Array<Used, BANKS> = Array::new();
/// By bank.
#[btf_map]
static LOST: Ledger<{ Loss::COUNT }> = Ledger::new();
/// By queue to the hardware. Of each there is one flush at a time, and those who asked for it end before the
/// next one; but not always on the CPU that it ended on, and others may end there in between.
#[btf_map]
static FLUSHES: Array<Flush, { block::FLUSHES }> = Array::new();
/// Slow requests; userspace empties it once a tick.
#[btf_map]
static EVENTS: SlowRing = SlowRing::new();

/// A request was made, in the context of who asked for it. From 6.5 on.
#[btf_tracepoint(function = "block_io_start")]
pub fn block_io_start(ctx: BtfTracePointContext) -> i32 {
    pending::start(Request::from_arg(&ctx, 0));
    0
}

/// A request was put into a queue. Before 6.5 this is the first that is seen of some.
#[btf_tracepoint(function = "block_rq_insert")]
pub fn block_rq_insert(ctx: BtfTracePointContext) -> i32 {
    pending::start_unless_known(Request::from_arg(&ctx, 0));
    0
}

/// A request was given to the device. Before 6.5 this is the first that is seen of those that need
/// not wait.
#[btf_tracepoint(function = "block_rq_issue")]
pub fn block_rq_issue(ctx: BtfTracePointContext) -> i32 {
    pending::start_unless_known(Request::from_arg(&ctx, 0));
    0
}

/// A request is about to be made for a bio. Only before 6.5, where one that has the device flushed is
/// not seen again in the context of who asked for it.
#[btf_tracepoint(function = "block_getrq")]
pub fn block_getrq(ctx: BtfTracePointContext) -> i32 {
    pending::start_with_flush(Bio::from_arg(&ctx, 0));
    0
}

/// A request was given to the device, and the kernel does not note the exact time: it takes an earlier
/// reading of its clock, from 6.9 on, or it does not keep statistics of the device.
#[btf_tracepoint(function = "block_rq_issue")]
pub fn block_rq_issue_inexact(ctx: BtfTracePointContext) -> i32 {
    let request = Request::from_arg(&ctx, 0);
    if Task::current().has_plug() || !request.is_issue_noted() {
        pending::issue(request);
    }
    0
}

/// A request was given to the device. Attached when there are requests that the kernel did not note the
/// time for: it does so only for devices that something of its own wants statistics of, as its limits
/// on writeback do by default.
#[btf_tracepoint(function = "block_rq_issue")]
pub fn block_rq_issue_time(ctx: BtfTracePointContext) -> i32 {
    pending::issue(Request::from_arg(&ctx, 0));
    0
}

/// A request will not end, as another one has taken it in.
#[btf_tracepoint(function = "block_rq_merge")]
pub fn block_rq_merge(ctx: BtfTracePointContext) -> i32 {
    pending::end(Request::from_arg(&ctx, 0));
    0
}

/// A request has ended, or a part of it.
#[btf_tracepoint(function = "block_rq_complete")]
pub fn block_rq_complete(ctx: BtfTracePointContext) -> i32 {
    let failed = ctx.arg::<u64>(1) as u8 != 0;
    let bytes = ctx.arg::<u64>(2) as u32;
    complete::complete(Request::from_arg(&ctx, 0), failed, bytes);
    0
}

/// Counts what could not be recorded.
#[inline(always)]
fn lost(reason: Loss) {
    ledger::lost(&LOST, bank::active(), reason as usize);
}
