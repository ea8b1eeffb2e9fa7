//! `process`: which processes are made, which programs they execute, and how they end.
//!
//! All is counted by command and cgroup, which is exact whatever happens; and told as events, as long
//! as the ring buffer has room.
#![no_std]
#![no_main]

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{HashMap, PerCpuArray},
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use monitor_common::{
    event::{EXEC_HEAD, Exec, Exit, Fork, Kind},
    key::ProcessKey,
    process::{Counts, Loss, PAIRS, Pair, SIGNALS},
};
use monitor_ebpf::{
    atomic, bank,
    events::{self, Ring},
    kernel::Task,
    ledger::{self, Ledger},
    once::{self, Counted},
    pair::{self, Half, Marks, Turn},
    process, table,
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// By command and cgroup; userspace empties it once a tick.
#[btf_map]
static COUNTS: HashMap<ProcessKey, Counts, 4096, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
/// By bank.
#[btf_map]
static LOST: Ledger<{ Loss::COUNT + PAIRS }> = Ledger::new();
/// Room for some thousand events; userspace empties it once a tick.
#[btf_map]
static EVENTS: Ring<{ 1 << 21 }> = Ring::new();
/// Where an event is put together that is too large for the stack, by [`Half`]. A program that is
/// preempted is skipped on its CPU until it goes on, so its scratch is its own; that of others is not.
#[btf_map]
static SCRATCH: PerCpuArray<Exec, 2> = PerCpuArray::new();
/// Processes whose end was counted, and that have not been released yet.
#[btf_map]
static ENDED: Counted = Counted::new();
/// Events that the first of two programs has just counted.
#[btf_map]
static MARKS: Marks = Marks::new();

/// The first value of an entry of [`COUNTS`].
static NOTHING: Counts = Counts::EMPTY;

/// A process or thread is created. `sched_process_fork` leaves out the threads that the kernel creates for
/// io_uring and vhost.
#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    created(&ctx, Half::First)
}

#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask_second(ctx: BtfTracePointContext) -> i32 {
    created(&ctx, Half::Second)
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec(ctx: BtfTracePointContext) -> i32 {
    executed(&ctx, Half::First)
}

#[btf_tracepoint(function = "sched_process_exec")]
pub fn sched_process_exec_second(ctx: BtfTracePointContext) -> i32 {
    executed(&ctx, Half::Second)
}

/// A thread ends, and the kernel says whether it is the last of its process. From 6.16 on.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit_group(ctx: BtfTracePointContext) -> i32 {
    exited(&ctx, Half::First)
}

#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit_group_second(ctx: BtfTracePointContext) -> i32 {
    exited(&ctx, Half::Second)
}

/// A thread ends. Several that do so at the same time may all find that none is left. Kernels that have
/// this run it with preemption off, so it needs no second.
#[btf_tracepoint(function = "sched_process_exit")]
pub fn sched_process_exit(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from_arg(&ctx, 0);
    if task.live_threads() == 0 && once::is_first(&ENDED, task) {
        ended(task);
    }
    0
}

/// Counts a thread that the running process created, and counts and reports a process.
#[inline(always)]
fn created(ctx: &BtfTracePointContext, half: Half) -> i32 {
    let (parent, child) = (Task::current(), Task::from_arg(ctx, 0));
    let pid = child.pid();
    // The idle task of a CPU that is brought up belongs to no process.
    if pid == 0 || !is_to_count(Pair::Fork, half, pid.into()) {
        return 0;
    }
    let leader = parent.leader();
    let key = process::key(leader, parent.tgid(), 0);
    let is_thread = pid != child.tgid();
    if let Some(counts) = counts(&key) {
        // SAFETY: a map value.
        unsafe {
            let count =
                if is_thread { &raw mut (*counts).threads } else { &raw mut (*counts).forks };
            atomic::add(count, 1);
        }
    }
    if is_thread {
        return 0;
    }
    let header = events::header(Kind::Fork, key, leader.parent().tgid());
    sent(events::send_minor(&EVENTS, Fork { header, child: pid, unused: 0 }));
    0
}

/// Counts and reports a program that was executed.
#[inline(always)]
fn executed(ctx: &BtfTracePointContext, half: Half) -> i32 {
    // It is the first thread of its process by now, whichever it was.
    let task = Task::from_arg(ctx, 0);
    if !is_to_count(Pair::Exec, half, task.memory_address()) {
        return 0;
    }
    let key = process::key(task, task.tgid(), 0);
    if let Some(counts) = counts(&key) {
        // SAFETY: a map value.
        unsafe { atomic::add(&raw mut (*counts).execs, 1) };
    }
    let Some(exec) = SCRATCH.get_ptr_mut(half as u32) else { return 0 };
    // SAFETY: a map value of this CPU and this program.
    unsafe {
        (*exec).header = events::header(Kind::Exec, key, task.parent().tgid());
        let argv = task.argv();
        (*exec).argv_bytes =
            if argv.bytes > u32::MAX.into() { u32::MAX } else { argv.bytes as u32 };
        let read = argv.read(&raw mut (*exec).argv).unwrap_or_else(|| {
            lost(Loss::ArgvUnread);
            0
        });
        (*exec).argv_read = read;
        sent(events::send_part(
            &EVENTS,
            exec.cast_const(),
            EXEC_HEAD as u64 + u64::from(read),
            events::AT_TICK,
        ));
    }
    0
}

/// Counts and reports the end of a process, if this is its last thread.
#[inline(always)]
fn exited(ctx: &BtfTracePointContext, half: Half) -> i32 {
    /// A thread ends once.
    const END: u64 = u64::MAX;
    let is_last = ctx.arg::<u64>(1) as u8 != 0;
    if is_to_count(Pair::Exit, half, END) && is_last {
        ended(Task::from_arg(ctx, 0));
    }
    0
}

/// Whether this program of two is to count an event.
#[inline(always)]
fn is_to_count(pair: Pair, half: Half, event: u64) -> bool {
    let recovered = Loss::COUNT + pair as usize;
    match pair::turn(&MARKS, half, event) {
        Turn::Count => true,
        Turn::Nothing => false,
        Turn::Leave => {
            ledger::add(&LOST, bank::active(), recovered, u64::MAX);
            false
        }
        Turn::Recover => {
            ledger::add(&LOST, bank::active(), recovered, 1);
            true
        }
    }
}

/// Counts and tells the end of a process.
#[inline(always)]
fn ended(task: Task) {
    let leader = task.leader();
    let key = process::key(leader, task.tgid(), 0);
    let status = task.wait_status();
    if let Some(counts) = counts(&key) {
        // SAFETY: a map value.
        unsafe { count_end(counts, status) };
    }
    let header = events::header(Kind::Exit, key, leader.parent().tgid());
    let lifetime_ns = header.time_ns.saturating_sub(leader.start_time());
    let peak_rss_pages = task.peak_rss();
    sent(events::send(&EVENTS, Exit { header, lifetime_ns, peak_rss_pages, status, unused: 0 }));
}

/// Counts how a process ended.
///
/// # Safety
/// `counts` is a map value.
#[inline(always)]
unsafe fn count_end(counts: *mut Counts, status: u32) {
    let signal = (status & 0x7f) as usize;
    if signal >= SIGNALS {
        return lost(Loss::Implausible);
    }
    // SAFETY: as above, and there is such a place.
    unsafe {
        if signal == 0 && status >> 8 & 0xff != 0 {
            atomic::add(&raw mut (*counts).failed, 1);
        } else {
            atomic::add((&raw mut (*counts).ended).cast::<u64>().add(signal), 1);
        }
    }
}

/// The entry of a process's command and cgroup.
#[inline(always)]
fn counts(process: &ProcessKey) -> Option<*mut Counts> {
    let bank = bank::active();
    let key = ProcessKey { tgid: 0, bank: bank as u16, ..*process };
    table::entry(&COUNTS, &key, &NOTHING, || {
        lost(Loss::TableFull);
        ProcessKey::other(bank as u16)
    })
}

/// Counts an event that could not be sent.
#[inline(always)]
fn sent(sent: bool) {
    if !sent {
        lost(Loss::RingFull);
    }
}

#[inline(always)]
fn lost(reason: Loss) {
    ledger::lost(&LOST, bank::active(), reason as usize);
}
