//! `cgroup`: which cgroups are created and removed.
//!
//! Most of what runs for less than a tick, such as a transient unit or a `docker run --rm`, has a cgroup
//! of its own. Its path is reported when it is created, as nothing remembers it after its removal;
//! the counters of its CPU quota are reported when it is removed, since they end with it.
#![no_std]
#![no_main]

use aya_ebpf::{
    btf_maps::{Array, PerCpuArray},
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use monitor_common::{
    cgroup::{CREATED, Change, Counts, Loss, PATH_LEN, REMOVED, Throttling},
    key::BANKS,
};
use monitor_ebpf::{
    atomic, bank,
    events::{self, AT_ONCE, AT_TICK, Ring},
    kernel::{self, Cgroup},
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// By bank.
#[btf_map]
static COUNTS: Array<Counts, BANKS> = Array::new();
/// Room for a thousand changes or more, by the lengths of paths.
#[btf_map]
static CHANGES: Ring<{ 1 << 18 }> = Ring::new();
/// Those that were created, for userspace that reads the name of a container while its engine still has it. Where this
/// is full, names are read at the end of the tick.
#[btf_map]
static CREATIONS: Ring<{ 1 << 16 }> = Ring::new();
/// Where a change is put together, which is too large for the stack. The kernel holds a lock while the
/// programs run, so that no other does.
#[btf_map]
static SCRATCH: PerCpuArray<Report, 1> = PerCpuArray::new();

/// A change and its path.
#[repr(C)]
struct Report {
    change: Change,
    path: [u8; PATH_LEN],
}

#[btf_tracepoint(function = "cgroup_mkdir")]
pub fn cgroup_mkdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup = Cgroup::from_arg(&ctx, 0);
    if cgroup.is_in_hierarchy() {
        count(|counts| &raw mut counts.created);
        report(&ctx, cgroup, CREATED, None);
    }
    0
}

#[btf_tracepoint(function = "cgroup_rmdir")]
pub fn cgroup_rmdir(ctx: BtfTracePointContext) -> i32 {
    let cgroup = Cgroup::from_arg(&ctx, 0);
    if cgroup.is_in_hierarchy() {
        report(&ctx, cgroup, REMOVED, cgroup.throttling());
    }
    0
}

/// Sends a change of the cgroup that a tracepoint is about.
#[inline(always)]
fn report(ctx: &BtfTracePointContext, cgroup: Cgroup, kind: u32, throttling: Option<Throttling>) {
    let Some(to) = SCRATCH.get_ptr_mut(0) else { return };
    // SAFETY: a map value of this CPU, which no other program uses at the same time.
    unsafe {
        let Some(path_len) = kernel::read_path(ctx, 1, &raw mut (*to).path) else {
            return lost(Loss::PathTooLong);
        };
        (*to).change = Change {
            kind,
            path_len,
            id: cgroup.id(),
            has_throttling: throttling.is_some().into(),
            throttling: throttling.unwrap_or_default(),
        };
        let bytes = size_of::<Change>() as u64 + u64::from(path_len);
        if !events::send_part(&CHANGES, to.cast_const(), bytes, AT_TICK) {
            lost(Loss::RingFull);
        }
        if kind == CREATED {
            events::send_part(&CREATIONS, to.cast_const(), bytes, AT_ONCE);
        }
    }
}

/// Counts a change that is not reported.
#[inline(always)]
fn lost(reason: Loss) {
    count(|counts| &raw mut counts.lost[reason as usize]);
}

/// Adds one to a counter of the tick.
#[inline(always)]
fn count(counter: impl FnOnce(&mut Counts) -> *mut u64) {
    if let Some(counts) = COUNTS.get_ptr_mut(bank::active() as u32) {
        // SAFETY: a map value, 8-byte aligned.
        unsafe { atomic::add(counter(&mut *counts), 1) };
    }
}
