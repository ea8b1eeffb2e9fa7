//! A process's memory, and the cgroup that limits it.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::bpf_probe_read_kernel_str;
use monitor_common::{
    event::{CGROUP_NAME_LEN, RSS_COUNTERS},
    offsets::{ABSENT, MemoryOffsets, Offset},
};

use super::task::{Task, constant, member};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static MEMORY_OFFSETS: MemoryOffsets = MemoryOffsets::ABSENT;

/// The place of the memory controller in `css_set::subsys`; [`ABSENT`] where the kernel has none.
#[unsafe(no_mangle)]
static MEMORY_SUBSYS: u32 = ABSENT;

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&MEMORY_OFFSETS.$field)
    };
}

/// The memory of a process that was chosen to be killed.
#[derive(Clone, Copy)]
pub struct Memory(*const c_void);

/// The directory of a cgroup.
#[derive(Clone, Copy)]
pub struct CgroupDirectory(*const c_void);

impl Task {
    /// The memory for whose sake the process was chosen to be killed; `None` when it was not.
    #[inline(always)]
    pub fn oom_memory(self) -> Option<Memory> {
        let signal = self.signal();
        // SAFETY: loaded from the member that holds it, so the verifier knows its type.
        let mm = unsafe { member(signal, offset!(oom_mm)) };
        if mm.is_null() { None } else { Some(Memory(mm)) }
    }

    /// Its cgroup of the memory controller; in the version 2 hierarchy the nearest that has it.
    #[inline(always)]
    pub fn memory_cgroup(self) -> Option<CgroupDirectory> {
        let subsys = constant(&MEMORY_SUBSYS);
        if subsys == ABSENT { None } else { Some(CgroupDirectory(self.cgroup_directory(subsys))) }
    }
}

impl Memory {
    /// Pages of its address space.
    #[inline(always)]
    pub fn total_pages(self) -> u64 {
        self.read(offset!(total_vm))
    }

    /// Its resident pages by kind, without what single CPUs have not added up yet.
    #[inline(always)]
    pub fn rss_pages(self) -> [u64; RSS_COUNTERS] {
        let mut pages = [0; RSS_COUNTERS];
        for (counter, pages) in pages.iter_mut().enumerate() {
            // Before 6.2 the counters are plain numbers.
            let plain = offset!(rss_count);
            *pages = if plain.is_absent() {
                let count = offset!(counter_count);
                let last = offset!(counter_last);
                let last = if last.is_absent() { count.bytes() } else { last.bytes() };
                self.read(count.after(offset!(rss_stat).bytes() + (last + 8) * counter))
            } else {
                self.read(plain.element(counter))
            };
        }
        pages
    }

    #[inline(always)]
    fn read<T: Copy>(self, offset: Offset<T>) -> T {
        // SAFETY: every caller names a member of it, and the verifier checks the pointer.
        unsafe { member(self.0, offset) }
    }
}

impl CgroupDirectory {
    /// Its id.
    #[inline(always)]
    pub fn id(self) -> u64 {
        super::task::directory_id(self.0)
    }

    /// Copies its name, without those it lies in.
    ///
    /// # Safety
    /// `to` is a map value or memory of a ring buffer.
    #[inline(always)]
    pub unsafe fn name(self, to: *mut [u8; CGROUP_NAME_LEN]) {
        // SAFETY: as above, and the helper copes with any address.
        unsafe {
            let name = member(self.0, offset!(kn_name));
            let name = ptr::without_provenance(name as usize);
            bpf_probe_read_kernel_str(to.cast(), CGROUP_NAME_LEN as u32, name);
        }
    }
}
