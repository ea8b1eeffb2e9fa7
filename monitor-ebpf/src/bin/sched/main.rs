//! `sched`: how long every thread waits for a CPU, how long it is blocked, and what it used.
//!
//! Three hooks run at every context switch and only look things up, as they may hold a run-queue
//! lock; storage is made at `task_newtask` and `sched_process_fork`, and by the first `iter/task` pass
//! for threads that are older than that. The same pass, run once a tick, reports what changed; what a thread leaves behind
//! at its end goes to its process or group at `sched_process_free`, after its last context switch.
#![no_std]
#![no_main]

mod exit;
mod pass;
mod stamps;
mod switch;
mod thread;
mod throttle;

use core::ptr;

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::{Array, HashMap},
    helpers::bpf_get_smp_processor_id,
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use monitor_common::{
    key::ProcessKey,
    sched::{Control, Exited, HostBank, Loss, StampSlot, TaskStats},
};
use monitor_ebpf::{
    atomic,
    kernel::{Task, TaskIter},
    local_storage::TaskStorage,
    slow::SlowRing,
};

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Number of CPUs that may ever be online; written by userspace before loading.
#[unsafe(no_mangle)]
static CPUS: u32 = 1;
/// Slots of [`STAMPS`] less one, a power of two less one; written by userspace before loading.
#[unsafe(no_mangle)]
static SLOT_MASK: u32 = 0;

/// Read and written by userspace while programs run.
#[unsafe(no_mangle)]
static mut CONTROL: Control =
    Control { bank: 0, threads: 0, without_storage: 0, suspect: 0, suspects_met: 0, unvisited: 0 };

/// Stamps by the low bits of the thread id. Userspace sets the size from `pid_max`.
#[btf_map]
static STAMPS: Array<StampSlot, 1> = Array::new();
/// By bank and CPU; userspace sets the size.
#[btf_map]
static HOST: Array<HostBank, 1> = Array::new();
#[btf_map]
static TASKS: TaskStorage<TaskStats> = TaskStorage::new();
/// What threads left behind that exited since the last flip; userspace empties it once a tick.
#[btf_map]
static EXITED: HashMap<ProcessKey, Exited, 4096, { BPF_F_NO_PREALLOC as usize }> = HashMap::new();
/// Slow waits for a CPU; userspace empties it once a tick.
#[btf_map]
static EVENTS: SlowRing = SlowRing::new();

#[btf_tracepoint(function = "sched_wakeup")]
pub fn sched_wakeup(ctx: BtfTracePointContext) -> i32 {
    switch::begin_waiting(Task::from_arg(&ctx, 0));
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn sched_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    switch::begin_waiting(Task::from_arg(&ctx, 0));
    0
}

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    let preempted = ctx.arg::<u64>(0) as u8 != 0;
    let (prev, next) = (Task::from_arg(&ctx, 1), Task::from_arg(&ctx, 2));
    // SAFETY: no other code runs on this CPU while it holds its run-queue lock, and a thread's
    // stamps are only touched under the lock of the run queue it is on.
    unsafe { switch::on_switch(preempted, prev, next) };
    0
}

/// A thread is given to another CPU. Attached once threads are throttled.
#[btf_tracepoint(function = "sched_migrate_task")]
pub fn sched_migrate_task(ctx: BtfTracePointContext) -> i32 {
    throttle::leave_cpu(Task::from_arg(&ctx, 0));
    0
}

/// Gives every new thread its storage before it can run.
#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    make_storage(Task::from_arg(&ctx, 0))
}

/// The same, where the kernel skipped the first or had no memory at that moment. Both run with
/// preemption on from Linux 7.0 on: the kernel skips a program on the CPU of a task that is preempted
/// in it.
#[btf_tracepoint(function = "sched_process_fork")]
pub fn sched_process_fork(ctx: BtfTracePointContext) -> i32 {
    make_storage(Task::from_arg(&ctx, 1))
}

/// Gives a thread that has not run yet its storage.
#[inline(always)]
fn make_storage(task: Task) -> i32 {
    if let Some(stats) = TASKS.get_or_create(task) {
        // SAFETY: the value lives as long as the task; a pass leaves it alone until it has run.
        unsafe { thread::adopt(task, stats.as_ptr()) };
    }
    0
}

/// Hands on what a thread used and was not reported yet. It runs once the thread has been reaped and
/// can no longer be met by a pass.
#[btf_tracepoint(function = "sched_process_free")]
pub fn sched_process_free(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from_arg(&ctx, 0);
    let Some(stats) = TASKS.get(task) else {
        thread::release_unread(task);
        return 0;
    };
    // SAFETY: the value lives as long as the task, and nothing else looks at it any more.
    unsafe {
        thread::release(task, stats.as_ptr());
        exit::leave_behind(&ctx, task, stats.as_ptr());
    }
    0
}

/// Reports one thread, if it has news.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn report_tasks(ctx: &TaskIter) -> i32 {
    if let Some(task) = ctx.task() {
        // SAFETY: a pass runs alone, and only in the bank that no hook writes to.
        unsafe { pass::report(ctx, task) };
    }
    0
}

/// The bank to write to.
#[inline(always)]
fn bank() -> usize {
    control_bank() & 1
}

/// The same, or [`NO_BANK`](monitor_common::key::NO_BANK).
#[inline(always)]
fn control_bank() -> usize {
    // SAFETY: a valid static; volatile, as userspace changes it.
    unsafe { ptr::read_volatile(&raw const CONTROL.bank) as usize }
}

#[inline(always)]
fn host(bank: usize, cpu: u32) -> Option<*mut HostBank> {
    // SAFETY: a valid static; volatile, as its value is set after compiling.
    let cpus = unsafe { ptr::read_volatile(&raw const CPUS) };
    HOST.get_ptr_mut(cpu + cpus * bank as u32)
}

/// Counts a loss that is not the scheduler's hooks' on the CPU that this runs on.
#[inline(always)]
fn lost_here(reason: Loss) {
    // SAFETY: has no arguments.
    if let Some(host) = host(bank(), unsafe { bpf_get_smp_processor_id() }) {
        // SAFETY: a map value.
        unsafe { lost(host, reason) };
    }
}

/// Counts what could not be recorded. Rare, so the cost of an atomic addition does not matter, and
/// programs that can be interrupted may call it.
///
/// # Safety
/// `host` is a map value.
#[inline(always)]
unsafe fn lost(host: *mut HostBank, reason: Loss) {
    // SAFETY: as above, 8-byte aligned.
    unsafe { atomic::add(&raw mut (*host).lost[reason as usize], 1) };
}
