//! `memory`: how long threads that want memory are kept to make room for it, and who is killed for want
//! of it.
//!
//! Nothing is allocated here but the mark of a process that was chosen, as there may be no memory: the
//! table of processes has all its entries from the beginning.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::BPF_RB_NO_WAKEUP,
    btf_maps::HashMap,
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use monitor_common::{
    event::{Kind, OomKill, RSS_COUNTERS},
    key::ProcessKey,
    memory::{COMPACTION, DIRECT, Kept, LATENCIES, MEMCG},
    stall::Loss,
};
use monitor_ebpf::{
    atomic, bank, events,
    kernel::Task,
    once::{self, Counted},
    process,
    slow::SlowRing,
    stall, table,
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[btf_map]
static BEGUN: stall::Begun<LATENCIES> = stall::Begun::new();
/// By process; userspace empties it once a tick.
#[btf_map]
static KEPT: HashMap<ProcessKey, Kept, 512> = HashMap::new();
#[btf_map]
static HOST: stall::Host<LATENCIES> = stall::Host::new();
/// Room for some hundred events; userspace empties it once a tick.
#[btf_map]
static EVENTS: SlowRing = SlowRing::new();
/// Processes that were chosen and have not ended yet.
#[btf_map]
static VICTIMS: Counted = Counted::new();

/// The kernel does not count what a thread is kept for.
const UNCOUNTED: u64 = 0;

/// The first value of an entry of [`KEPT`].
static NOTHING: Kept = Kept::EMPTY;

#[btf_tracepoint(function = "mm_vmscan_direct_reclaim_begin")]
pub fn mm_vmscan_direct_reclaim_begin(_: BtfTracePointContext) -> i32 {
    begin(DIRECT)
}

#[btf_tracepoint(function = "mm_vmscan_direct_reclaim_end")]
pub fn mm_vmscan_direct_reclaim_end(_: BtfTracePointContext) -> i32 {
    end(DIRECT)
}

#[btf_tracepoint(function = "mm_vmscan_memcg_reclaim_begin")]
pub fn mm_vmscan_memcg_reclaim_begin(_: BtfTracePointContext) -> i32 {
    begin(MEMCG)
}

#[btf_tracepoint(function = "mm_vmscan_memcg_reclaim_end")]
pub fn mm_vmscan_memcg_reclaim_end(_: BtfTracePointContext) -> i32 {
    end(MEMCG)
}

#[btf_tracepoint(function = "mm_compaction_begin")]
pub fn mm_compaction_begin(_: BtfTracePointContext) -> i32 {
    begin(COMPACTION)
}

#[btf_tracepoint(function = "mm_compaction_end")]
pub fn mm_compaction_end(_: BtfTracePointContext) -> i32 {
    end(COMPACTION)
}

/// A process was chosen, which is said of one thread of it; and of another, when that wants memory for
/// its own end.
#[btf_tracepoint(function = "mark_victim")]
pub fn mark_victim(ctx: BtfTracePointContext) -> i32 {
    chosen(Task::from_arg(&ctx, 0), true);
    0
}

/// The same where `mark_victim` says no more than a thread id: once it ends. What it had is no longer
/// known then.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn victim_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from_arg(&ctx, 0);
    if task.live_threads() == 0 && task.oom_memory().is_some() {
        chosen(task, false);
    }
    0
}

/// The running thread begins.
#[inline(always)]
fn begin(latency: usize) -> i32 {
    stall::begin(&BEGUN, latency, UNCOUNTED);
    0
}

/// The running thread is done.
#[inline(always)]
fn end(latency: usize) -> i32 {
    stall::end((&BEGUN, &HOST, &EVENTS), (latency, UNCOUNTED), |process, bank| {
        // SAFETY: a map value.
        kept(process, bank).map(|kept| unsafe { &raw mut (*kept).stalls })
    });
    0
}

/// Counts and tells a process that was chosen.
#[inline(always)]
fn chosen(task: Task, has_sizes: bool) {
    if !once::is_first(&VICTIMS, task) {
        return;
    }
    let bank = bank::active();
    let leader = task.leader();
    let key = process::of(task);
    if let Some(kept) = kept(&key, bank) {
        // SAFETY: a map value.
        unsafe { atomic::add(&raw mut (*kept).oom_kills, 1) };
    }
    let Some(mut event) = EVENTS.reserve_untyped::<OomKill>(0) else {
        return stall::lost(&HOST, bank, Loss::RingFull);
    };
    let to = event.as_mut_ptr();
    // SAFETY: memory of the ring buffer, as large as an event; all of it that is read is written.
    unsafe {
        (*to).header = events::header(Kind::OomKill, key, leader.parent().tgid());
        (*to).has_sizes = has_sizes.into();
        (*to).total_pages = 0;
        (*to).rss_pages = [0; RSS_COUNTERS];
        if has_sizes && let Some(memory) = task.oom_memory() {
            (*to).total_pages = memory.total_pages();
            (*to).rss_pages = memory.rss_pages();
        }
        (*to).memory_cgroup_id = 0;
        (*to).memory_cgroup[0] = 0;
        if let Some(cgroup) = task.memory_cgroup() {
            (*to).memory_cgroup_id = cgroup.id();
            cgroup.name(&raw mut (*to).memory_cgroup);
        }
    }
    event.submit(BPF_RB_NO_WAKEUP.into());
}

/// The entry of a process.
#[inline(always)]
fn kept(process: &ProcessKey, bank: usize) -> Option<*mut Kept> {
    let key = ProcessKey { bank: bank as u16, ..*process };
    table::entry(&KEPT, &key, &NOTHING, || {
        stall::lost(&HOST, bank, Loss::TableFull);
        ProcessKey::other(bank as u16)
    })
}
