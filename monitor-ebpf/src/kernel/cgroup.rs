//! A cgroup, its hierarchy, and the counters of its CPU quota.

use core::{arch::asm, ffi::c_void, ptr};

use aya_ebpf::{
    helpers::{bpf_probe_read_kernel, generated::bpf_probe_read_kernel_str},
    programs::BtfTracePointContext,
};
use monitor_common::{
    cgroup::{PATH_LEN, Throttling},
    offsets::{ABSENT, CgroupOffsets, Offset},
};

use super::task::{constant, directory_id, directory_of, is_hierarchy_2, member, own_subsys};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static CGROUP_OFFSETS: CgroupOffsets = CgroupOffsets::ABSENT;

/// The place of the CPU controller in `cgroup::subsys`; [`ABSENT`] where the kernel has none.
#[unsafe(no_mangle)]
static CPU_SUBSYS: u32 = ABSENT;

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&CGROUP_OFFSETS.$field)
    };
}

/// A cgroup. It is only read, never written.
#[derive(Clone, Copy)]
pub struct Cgroup(*const c_void);

impl Cgroup {
    /// The `n`th argument of a BTF tracepoint.
    #[inline(always)]
    pub fn from_arg(ctx: &BtfTracePointContext, n: usize) -> Self {
        Self(ctx.arg::<*const c_void>(n))
    }

    /// Its id.
    #[inline(always)]
    pub fn id(self) -> u64 {
        directory_id(directory_of(self.0))
    }

    /// Whether it is in the hierarchy that userspace chose, see [`super::Task::cgroup_id`].
    #[inline(always)]
    pub fn is_in_hierarchy(self) -> bool {
        // SAFETY: loaded from the member that holds it, so the verifier knows its type.
        unsafe {
            let root = member(self.0, offset!(root));
            if is_hierarchy_2() {
                member(root, offset!(hierarchy_id)) == 0
            } else {
                member(root, offset!(subsys_mask)) & 1 << (own_subsys() & 31) != 0
            }
        }
    }

    /// The counters of its CPU quota; `None` where the controller is off.
    #[inline(always)]
    pub fn throttling(self) -> Option<Throttling> {
        let subsys = constant(&CPU_SUBSYS);
        if subsys == ABSENT || offset!(nr_periods).is_absent() {
            return None;
        }
        // SAFETY: as above.
        let css = unsafe { member(self.0, offset!(subsys).element(subsys as usize)) };
        if css.is_null() {
            return None;
        }
        let group = css.wrapping_byte_sub(offset!(task_group_css).bytes());
        // SAFETY: the helper copes with any address.
        unsafe {
            Some(Throttling {
                periods: probe(group, offset!(nr_periods))?.into(),
                throttled: probe(group, offset!(nr_throttled))?.into(),
                throttled_ns: probe(group, offset!(throttled_time))?,
            })
        }
    }
}

/// Reads a member of a structure that the verifier has no type for.
///
/// # Safety
/// Any bit pattern is a `T`.
#[inline(always)]
unsafe fn probe<T>(base: *const c_void, offset: Offset<T>) -> Option<T> {
    // SAFETY: as above, and the helper copes with any address.
    unsafe { bpf_probe_read_kernel(base.wrapping_byte_add(offset.bytes()).cast()).ok() }
}

/// Copies the path that is the `n`th argument of a BTF tracepoint, and returns its length without the
/// terminating zero; `None` if there may be more of it.
///
/// # Safety
/// `to` is a map value.
#[inline(always)]
pub unsafe fn read_path(
    ctx: &BtfTracePointContext,
    n: usize,
    to: *mut [u8; PATH_LEN],
) -> Option<u32> {
    let path = ptr::without_provenance(ctx.arg::<usize>(n));
    // SAFETY: as above, and the helper copes with any address.
    let len = unsafe { bpf_probe_read_kernel_str(to.cast(), PATH_LEN as u32, path) };
    if len <= 0 || len >= PATH_LEN as i64 {
        return None;
    }
    let mut len = len as u64 - 1;
    // Changes nothing: the compiler would leave it out, and older verifiers lose the bounds.
    // SAFETY: calculates with a register.
    unsafe { asm!("{} &= {}", inout(reg) len, const PATH_LEN - 1, options(pure, nomem, nostack)) };
    Some(len as u32)
}
