//! `sched`: how long every thread waits for a CPU, how long it is blocked, and what it used.
//!
//! Three hooks run at every context switch and only look things up, as they may hold a run-queue
//! lock; storage is made at `task_newtask`, and by the first `iter/task` pass for threads that are
//! older than that. The same pass, run once a tick, reports what changed; what a thread leaves behind
//! at its end goes to its process or group at `sched_process_free`, after its last context switch.
#![no_std]
#![no_main]

use core::ptr::{self, NonNull};

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, BPF_NOEXIST},
    btf_maps::{Array, HashMap},
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::{btf_map, btf_tracepoint},
    programs::BtfTracePointContext,
};
use aya_log_ebpf::debug;
use monitor_common::{
    hist::{self, FINE_SLOTS},
    sched::{
        BANKS, Control, Exited, HostBank, HostHist, Loss, ProcessKey, StampSlot, Stamps, TaskHist,
        TaskRecord, TaskStats, Usage,
    },
};
use monitor_ebpf::{
    atomic, histogram,
    kernel::{Task, TaskIter},
    process,
    task_storage::TaskStorage,
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
static mut CONTROL: Control = Control { bank: 0, threads: 0, without_storage: 0 };

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

/// The first value of an entry of [`EXITED`].
static NOTHING: Exited = Exited::EMPTY;

#[btf_tracepoint(function = "sched_wakeup")]
pub fn sched_wakeup(ctx: BtfTracePointContext) -> i32 {
    begin_waiting(Task::from_arg(&ctx, 0));
    0
}

#[btf_tracepoint(function = "sched_wakeup_new")]
pub fn sched_wakeup_new(ctx: BtfTracePointContext) -> i32 {
    begin_waiting(Task::from_arg(&ctx, 0));
    0
}

#[btf_tracepoint(function = "sched_switch")]
pub fn sched_switch(ctx: BtfTracePointContext) -> i32 {
    let preempted = ctx.arg::<u64>(0) as u8 != 0;
    let (prev, next) = (Task::from_arg(&ctx, 1), Task::from_arg(&ctx, 2));
    // SAFETY: no other code runs on this CPU while it holds its run-queue lock, and a thread's
    // stamps are only touched under the lock of the run queue it is on.
    unsafe { on_switch(preempted, prev, next) };
    0
}

/// Gives every new thread its storage before it can run.
#[btf_tracepoint(function = "task_newtask")]
pub fn task_newtask(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from_arg(&ctx, 0);
    if let Some(stats) = TASKS.get_or_create(task) {
        // SAFETY: the value lives as long as the task, which has not run yet.
        unsafe { adopt(task, stats.as_ptr()) };
    }
    0
}

/// Hands on what a thread used and was not reported yet. It runs once the thread has been reaped and
/// can no longer be met by a pass.
#[btf_tracepoint(function = "sched_process_free")]
pub fn sched_process_free(ctx: BtfTracePointContext) -> i32 {
    let task = Task::from_arg(&ctx, 0);
    if let Some(stats) = TASKS.get(task) {
        // SAFETY: the value lives as long as the task, and nothing else looks at it any more.
        unsafe {
            release(task, stats.as_ptr());
            leave_behind(&ctx, task, stats.as_ptr());
        }
    }
    0
}

/// Reports one thread, if it has news.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task")]
pub fn report_tasks(ctx: &TaskIter) -> i32 {
    if let Some(task) = ctx.task() {
        // SAFETY: a pass runs alone, and only in the bank that no hook writes to.
        unsafe { report(ctx, task) };
    }
    0
}

#[inline(always)]
fn begin_waiting(task: Task) {
    if let Some(stamps) = stamps_of(task, task.pid()) {
        // SAFETY: as for `sched_switch`: a wakeup holds the lock of the thread's run queue, except when
        // a thread that is on its CPU wakes itself, and then the next switch sets both stamps anew.
        unsafe {
            // A queued thread can be woken again; it has waited since the first time.
            if (*stamps).wake == 0 {
                (*stamps).wake = bpf_ktime_get_ns();
            }
        }
    }
}

/// # Safety
/// Called from `sched_switch`.
#[inline(always)]
unsafe fn on_switch(preempted: bool, prev: Task, next: Task) {
    // SAFETY: all pointers are map values, and by the caller's promise nobody else changes them.
    unsafe {
        let now = bpf_ktime_get_ns();
        let bank = control_bank();
        let pid = prev.pid();
        if pid != 0
            && let Some(stamps) = stamps_of(prev, pid)
        {
            let runnable = preempted || prev.is_runnable();
            set(stamps, if runnable { (0, now) } else { (now, 0) });
        }
        // There is none for NO_BANK.
        let Some(host) = host(bank, next.cpu()) else { return };
        (*host).switches += 1;
        let pid = next.pid();
        if pid == 0 {
            return;
        }
        let Some(stamps) = stamps_of(next, pid) else {
            return lost(host, Loss::NoStorage);
        };
        let Stamps { out, wake } = *stamps;
        set(stamps, (0, 0));
        if wake == 0 {
            // Either it was on a CPU, or queued, before the hooks were attached.
            if out != 0 {
                lost(host, Loss::Unmatched);
            }
            return;
        }
        let Some(stats) = TASKS.get(next) else {
            return lost(host, Loss::NoStorage);
        };
        let task = &raw mut (*stats.as_ptr()).banks[bank & 1];
        record(host, &raw mut (*host).runqueue, &raw mut (*task).runqueue, now.wrapping_sub(wake));
        if out != 0 {
            record(host, &raw mut (*host).offcpu, &raw mut (*task).offcpu, wake.wrapping_sub(out));
        }
    }
}

/// Adds a duration to a histogram of the host and one of a thread.
///
/// # Safety
/// The pointers are map values that only this CPU changes.
#[inline(always)]
unsafe fn record(host: *mut HostBank, fine: *mut HostHist, coarse: *mut TaskHist, ns: u64) {
    let slot = hist::slot(ns);
    if ns > hist::MAX_NS || slot >= FINE_SLOTS {
        return lost(host, Loss::Implausible);
    }
    // SAFETY: as above, and the slot is checked.
    unsafe {
        histogram::add_fine(fine, slot, ns);
        histogram::add_coarse(coarse, hist::coarse(slot), ns);
    }
}

/// The bank to write to.
#[inline(always)]
fn bank() -> usize {
    control_bank() & 1
}

/// The same, or [`NO_BANK`](monitor_common::sched::NO_BANK).
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
        lost(host, reason);
    }
}

/// Counts what could not be recorded. Rare, so the cost of an atomic addition does not matter, and
/// programs that can be interrupted may call it.
#[inline(always)]
fn lost(host: *mut HostBank, reason: Loss) {
    // SAFETY: a map value, 8-byte aligned.
    unsafe { atomic::add(&raw mut (*host).lost[reason as usize], 1) };
}

/// The slot of a thread's id, if it is its own.
#[inline(always)]
fn slot_of(task: Task, pid: u32) -> Option<NonNull<StampSlot>> {
    let slot = NonNull::new(slot_for(pid)?)?;
    // SAFETY: a map value.
    if unsafe { (*slot.as_ptr()).owner } == task.address() { Some(slot) } else { None }
}

/// The slot that a thread id points to, whoever owns it.
#[inline(always)]
fn slot_for(pid: u32) -> Option<*mut StampSlot> {
    // SAFETY: a valid static; volatile, as its value is set after compiling.
    let mask = unsafe { ptr::read_volatile(&raw const SLOT_MASK) };
    STAMPS.get_ptr_mut(pid & mask)
}

/// The thread's stamps: in its slot, or in its own storage when the slot is taken.
#[inline(always)]
fn stamps_of(task: Task, pid: u32) -> Option<*mut Stamps> {
    // SAFETY: map values.
    unsafe {
        match slot_of(task, pid) {
            Some(slot) => Some(&raw mut (*slot.as_ptr()).stamps),
            None => TASKS.get(task).map(|stats| &raw mut (*stats.as_ptr()).stamps),
        }
    }
}

/// Sets both stamps, one word each: as one value the compiler may call `memset`, a loop.
///
/// # Safety
/// `stamps` is a map value that only this CPU changes.
#[inline(always)]
unsafe fn set(stamps: *mut Stamps, (out, wake): (u64, u64)) {
    // SAFETY: as above.
    unsafe {
        ptr::write_volatile(&raw mut (*stamps).out, out);
        ptr::write_volatile(&raw mut (*stamps).wake, wake);
    }
}

/// Takes a thread in: a slot for its stamps if there is one, and the counters as they are, so that
/// only what it does from now on is reported.
///
/// # Safety
/// `stats` is the thread's storage.
#[inline(always)]
unsafe fn adopt(task: Task, stats: *mut TaskStats) {
    // SAFETY: map values.
    unsafe {
        if (*stats).ready != 0 {
            return;
        }
        (*stats).cpu_time = task.cpu_time();
        (*stats).voluntary = task.voluntary_switches() as u32;
        (*stats).involuntary = task.involuntary_switches() as u32;
        (*stats).ready = 1;
        (*stats).first_pid = task.pid();
        if let Some(slot) = slot_for((*stats).first_pid) {
            // When two threads do this at once the last has the slot: ownership counts at each use.
            // An owner at the same address is one whose end was not seen.
            if (*slot).owner == 0 || (*slot).owner == task.address() {
                set(&raw mut (*slot).stamps, (0, 0));
                (*slot).reported = 0;
                (*slot).owner = task.address();
            }
        }
    }
}

/// Makes the thread's slot free for others. It is not always that of its id: a thread that executes
/// a program takes over the id of the first thread of its process, and that one gets its id.
///
/// # Safety
/// The thread has exited, and `stats` is its storage.
#[inline(always)]
unsafe fn release(task: Task, stats: *const TaskStats) {
    // SAFETY: map values.
    unsafe {
        if let Some(slot) = slot_for((*stats).first_pid)
            && (*slot).owner == task.address()
        {
            (*slot).owner = 0;
        }
    }
}

/// What a thread used of what the kernel counts, since it was last asked for; the answer is final
/// only once it has been marked as reported.
#[inline(always)]
fn used(task: Task, stats: &TaskStats) -> Usage {
    let mut cpu_time = task.cpu_time().wrapping_sub(stats.cpu_time);
    if (cpu_time as i64) < 0 {
        lost_here(Loss::Implausible);
        cpu_time = 0;
    }
    Usage {
        cpu_time,
        voluntary: (task.voluntary_switches() as u32).wrapping_sub(stats.voluntary).into(),
        involuntary: (task.involuntary_switches() as u32).wrapping_sub(stats.involuntary).into(),
    }
}

/// # Safety
/// Called from an `iter/task` program, with no hook writing to the other bank.
#[inline(always)]
unsafe fn report(ctx: &TaskIter, task: Task) {
    // SAFETY: all pointers are map values; the bank and the counters belong to the pass alone.
    unsafe {
        let slot = slot_of(task, task.pid());
        CONTROL.threads += 1;
        // Nothing changes while a thread is blocked.
        let blocked_since = slot.map_or(0, |slot| (*slot.as_ptr()).stamps.out);
        if blocked_since != 0 && slot.is_some_and(|slot| (*slot.as_ptr()).reported == blocked_since)
        {
            return;
        }
        // When it is still in the list now, `sched_process_free` waits until this program is done.
        if task.is_released() {
            return;
        }
        let Some(stats) = TASKS.get_or_create(task) else {
            CONTROL.without_storage += 1;
            return;
        };
        let stats = stats.as_ptr();
        if (*stats).ready == 0 {
            return adopt(task, stats);
        }
        let ended = &raw mut (*stats).banks[bank() ^ 1];
        let usage = used(task, &*stats);
        let idle = histogram::is_empty(ended);
        if !idle || usage.cpu_time | usage.voluntary | usage.involuntary != 0 {
            let record = TaskRecord { key: process::key(task.leader(), task.tgid(), 0), usage };
            if !(ctx.write(&record) && ctx.write(ended)) {
                // The kernel calls again for this thread once userspace has made room.
                CONTROL.threads -= 1;
                return;
            }
            histogram::clear(ended);
            (*stats).cpu_time = (*stats).cpu_time.wrapping_add(usage.cpu_time);
            (*stats).voluntary = (*stats).voluntary.wrapping_add(usage.voluntary as u32);
            (*stats).involuntary = (*stats).involuntary.wrapping_add(usage.involuntary as u32);
        }
        // What it did since the banks were flipped is for the next pass.
        if let Some(slot) = slot
            && histogram::is_empty(&raw const (*stats).banks[bank()])
        {
            (*slot.as_ptr()).reported = blocked_since;
        }
    }
}

/// # Safety
/// The thread has exited, and `stats` is its storage.
#[inline(always)]
unsafe fn leave_behind(ctx: &BtfTracePointContext, task: Task, stats: *mut TaskStats) {
    // SAFETY: map values; what is shared with other CPUs is only added to, atomically.
    unsafe {
        let Some(exited) = entry_for(ctx, task) else { return };
        let usage = used(task, &*stats);
        let total = &raw mut (*exited).usage;
        atomic::add(&raw mut (*exited).threads, 1);
        atomic::add(&raw mut (*total).cpu_time, usage.cpu_time);
        atomic::add(&raw mut (*total).voluntary, usage.voluntary);
        atomic::add(&raw mut (*total).involuntary, usage.involuntary);
        for bank in 0..BANKS {
            let bank = &raw const (*stats).banks[bank];
            histogram::merge(&raw const (*bank).runqueue, &raw mut (*exited).bank.runqueue);
            histogram::merge(&raw const (*bank).offcpu, &raw mut (*exited).bank.offcpu);
        }
    }
}

/// The entry of the table of exited threads that a thread belongs to: its process's while that lives,
/// else its group's, else the one for all others.
#[inline(always)]
fn entry_for(ctx: &BtfTracePointContext, task: Task) -> Option<*mut Exited> {
    let bank = bank();
    let (pid, tgid) = (task.pid(), task.tgid());
    // The leader may be gone, and its memory in use for another task.
    let leader = task.leader();
    let named = if leader.tgid() == tgid { leader } else { task };
    let key = process::key(named, if pid == tgid { 0 } else { tgid }, bank);
    if let Some(entry) = EXITED.get_ptr_mut(key) {
        return Some(entry);
    }
    // Another CPU may have been faster, which does as well. It fails when the table is full, and when
    // there is no memory for the moment.
    #[expect(
        clippy::needless_borrows_for_generic_args,
        reason = "a copy is too large for the stack"
    )]
    let _ = EXITED.insert(key, &NOTHING, BPF_NOEXIST.into());
    if let Some(entry) = EXITED.get_ptr_mut(key) {
        return Some(entry);
    }
    lost_here(Loss::ExitedFull);
    debug!(ctx, "the table of exited threads is full: thread {} goes to (other)", pid);
    EXITED.get_ptr_mut(ProcessKey::other(bank as u16))
}
