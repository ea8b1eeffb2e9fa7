//! A task and its cgroup.
//!
//! Offsets come from the running kernel's BTF (see [`monitor_common::offsets`]). The verifier knows
//! them as constants and the type of every pointer, so each access is one plain load that cannot
//! fault: a pointer that went stale reads as 0.

use core::{arch::asm, ffi::c_void, ptr};

use aya_ebpf::{
    bindings::task_struct, helpers::generated::bpf_get_current_task_btf,
    programs::BtfTracePointContext,
};
use monitor_common::{
    key::COMM_LEN,
    offsets::{ABSENT, Offset, Pointer, TaskOffsets},
};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static TASK_OFFSETS: TaskOffsets = TaskOffsets::ABSENT;

/// The place of a controller in `css_set::subsys` whose cgroup says where a task belongs, on hosts
/// with version 1 hierarchies; [`ABSENT`] where the version 2 hierarchy does.
#[unsafe(no_mangle)]
static CGROUP_SUBSYS: u32 = ABSENT;

/// The flag of a thread of the kernel. The kernel's types do not name it, but it is part of the ABI in
/// practice: `/proc/PID/stat` shows these flags as they are, and systemd finds kernel threads by it.
const PF_KTHREAD: u32 = 0x0020_0000;

/// A thread. It is only read, never written.
#[derive(Clone, Copy)]
pub struct Task(*mut task_struct);

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&TASK_OFFSETS.$field)
    };
}

/// A value set after compiling and before loading: a constant to the verifier.
#[inline(always)]
pub(super) fn constant<T: Copy>(value: &'static T) -> T {
    // SAFETY: a reference; volatile, as the compiler takes the static for what it says.
    unsafe { ptr::read_volatile(value) }
}

/// Whether the version 2 hierarchy of cgroups says where a task belongs.
#[inline(always)]
pub(super) fn is_hierarchy_2() -> bool {
    own_subsys() == ABSENT
}

/// The controller whose version 1 hierarchy says where a task belongs; [`ABSENT`] where version 2 does.
#[inline(always)]
pub(super) fn own_subsys() -> u32 {
    constant(&CGROUP_SUBSYS)
}

/// The lower half of an address, to calculate with: the verifier takes the whole for a pointer, which
/// cannot be shifted.
#[inline(always)]
pub fn low_half(address: u64) -> u32 {
    let low: u64;
    // SAFETY: copies a register.
    unsafe { asm!("w0 = w1", in("r1") address, lateout("r0") low, options(pure, nomem, nostack)) };
    low as u32
}

/// Reads the member at `offset` of the kernel structure at `base`.
///
/// # Safety
/// `base` is a pointer that the verifier tracks by its BTF type, and `offset` that of a member of it.
#[inline(always)]
pub(super) unsafe fn member<T: Copy>(base: *const c_void, offset: Offset<T>) -> T {
    // SAFETY: as above. Volatile keeps the compiler from splitting or merging loads, which the
    // verifier would take for other members.
    unsafe { ptr::read_volatile(base.byte_add(offset.bytes()).cast()) }
}

/// The directory of a cgroup.
#[inline(always)]
pub(super) fn directory_of(cgroup: *const c_void) -> *const c_void {
    // SAFETY: the verifier knows the pointer's type; a null reads as 0.
    unsafe { member(cgroup, offset!(kn)) }
}

/// The id of the cgroup whose directory this is.
#[inline(always)]
pub(super) fn directory_id(kn: *const c_void) -> u64 {
    // SAFETY: the verifier knows the pointer's type; a null reads as 0.
    unsafe { member(kn, offset!(id)) }
}

impl Task {
    /// The `n`th argument of a BTF tracepoint.
    #[inline(always)]
    pub fn from_arg(ctx: &BtfTracePointContext, n: usize) -> Self {
        Self(ctx.arg::<*const task_struct>(n).cast_mut())
    }

    /// The one that runs.
    #[inline(always)]
    pub fn current() -> Self {
        // SAFETY: has no arguments.
        Self(unsafe { bpf_get_current_task_btf() })
    }

    /// The task that an iterator program was called for; `None` at the end of the pass.
    #[inline(always)]
    pub(super) fn from_ptr(task: *mut task_struct) -> Option<Self> {
        if task.is_null() { None } else { Some(Self(task)) }
    }

    /// The task behind a pointer that another task's member holds.
    #[inline(always)]
    pub(super) fn pointed_to(task: Pointer) -> Self {
        Self(task.cast_mut().cast())
    }

    /// For helpers.
    #[inline(always)]
    pub fn as_ptr(self) -> *mut task_struct {
        self.0
    }

    /// Tells this task from every other that exists.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// Thread id in the initial namespace; 0 for idle tasks.
    #[inline(always)]
    pub fn pid(self) -> u32 {
        self.read(offset!(pid))
    }

    /// Process id in the initial namespace.
    #[inline(always)]
    pub fn tgid(self) -> u32 {
        self.read(offset!(tgid))
    }

    /// Whether it is a thread of the kernel.
    #[inline(always)]
    pub fn is_kernel_thread(self) -> bool {
        self.read(offset!(flags)) & PF_KTHREAD != 0
    }

    /// The thread-group leader.
    #[inline(always)]
    pub fn leader(self) -> Self {
        Self::pointed_to(self.read(offset!(group_leader)))
    }

    /// Command name.
    #[inline(always)]
    pub fn comm(self) -> [u8; COMM_LEN] {
        let word = |index| self.read(offset!(comm).word(index));
        // SAFETY: sixteen bytes either way.
        unsafe { core::mem::transmute([word(0), word(1)]) }
    }

    /// Id of its cgroup, in the hierarchy that userspace chose.
    #[inline(always)]
    pub fn cgroup_id(self) -> u64 {
        directory_id(self.cgroup_directory(own_subsys()))
    }

    /// The directory of its cgroup, in the hierarchy of a controller or, for [`ABSENT`], in that of
    /// version 2.
    #[inline(always)]
    pub(super) fn cgroup_directory(self, subsys: u32) -> *const c_void {
        let css_set = self.read(offset!(cgroups));
        // SAFETY: each pointer is loaded from the member that holds it, so the verifier knows its
        // type; a null on the way reads as 0.
        let cgroup: *const c_void = unsafe {
            if subsys == ABSENT {
                member(css_set, offset!(dfl_cgrp))
            } else {
                let css = member(css_set, offset!(subsys).element(subsys as usize));
                member(css, offset!(css_cgroup))
            }
        };
        directory_of(cgroup)
    }

    #[inline(always)]
    pub(super) fn read<T: Copy>(self, offset: Offset<T>) -> T {
        // SAFETY: every caller names a member of a task, and the verifier checks the pointer.
        unsafe { member(self.0.cast_const().cast(), offset) }
    }
}
