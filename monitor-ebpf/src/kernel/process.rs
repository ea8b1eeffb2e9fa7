//! What a task has in common with the other threads of its process.

use core::{ffi::c_void, ptr};

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use monitor_common::{
    event::ARGV_LEN,
    offsets::{Offset, ProcessOffsets},
};

use super::task::{Task, constant, member};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static PROCESS_OFFSETS: ProcessOffsets = ProcessOffsets::ABSENT;

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&PROCESS_OFFSETS.$field)
    };
}

/// Where a program's arguments are in its memory.
#[derive(Clone, Copy)]
pub struct Argv {
    start: u64,
    /// How many bytes, with the zero after each argument.
    pub bytes: u64,
}

impl Task {
    /// The parent process.
    #[inline(always)]
    pub fn parent(self) -> Self {
        Self::pointed_to(self.read(offset!(real_parent)))
    }

    /// When it was started, in monotonic nanoseconds.
    #[inline(always)]
    pub fn start_time(self) -> u64 {
        self.read(offset!(start_time))
    }

    /// Threads of its process that have not ended.
    #[inline(always)]
    pub fn live_threads(self) -> u32 {
        self.of_signal(offset!(live))
    }

    /// Whether all other threads of its process have been released.
    #[inline(always)]
    pub fn is_last(self) -> bool {
        self.of_signal(offset!(nr_threads)) == 1
    }

    /// Tells its memory from that of every other process, and from what it had before it last executed
    /// a program.
    #[inline(always)]
    pub fn memory_address(self) -> u64 {
        self.read(offset!(mm)) as u64
    }

    /// The status that `wait` returns of its process, whose threads have all ended. Where the kernel counts
    /// the threads that have not begun to end, the last one to begin sets it for the process, unless it is
    /// set. Elsewhere it is set where all threads end at once, and the first thread's is what counts if
    /// each ends by itself; a status of 0 for all leaves the two alike but for a first thread that ended
    /// before with another.
    #[inline(always)]
    pub fn wait_status(self) -> u32 {
        let status = self.of_signal(offset!(group_exit_code));
        if !offset!(quick_threads).is_absent() || status != 0 {
            status
        } else {
            self.leader().read(offset!(exit_code))
        }
    }

    /// Peak resident set of its process in pages, once all its threads have ended.
    #[inline(always)]
    pub fn peak_rss(self) -> u64 {
        self.of_signal(offset!(maxrss))
    }

    /// Where the arguments of the program are that it has just executed.
    #[inline(always)]
    pub fn argv(self) -> Argv {
        let mm = self.read(offset!(mm));
        // SAFETY: loaded from the member that holds it, so the verifier knows its type.
        unsafe {
            let start = member(mm, offset!(arg_start));
            let end = member(mm, offset!(arg_end));
            Argv { start, bytes: end.wrapping_sub(start) }
        }
    }

    #[inline(always)]
    fn of_signal<T: Copy>(self, offset: Offset<T>) -> T {
        // SAFETY: as above; every caller names a member of it.
        unsafe { member(self.signal(), offset) }
    }

    /// What the threads of its process share.
    #[inline(always)]
    pub(super) fn signal(self) -> *const c_void {
        self.read(offset!(signal))
    }
}

impl Argv {
    /// Copies the first bytes of the arguments, and says how many. `None` when they are not in memory:
    /// a program cannot wait until they are.
    ///
    /// # Safety
    /// Called in the process that they are the arguments of; `to` is a map value.
    #[inline(always)]
    pub unsafe fn read(self, to: *mut [u8; ARGV_LEN]) -> Option<u32> {
        let bytes = if self.bytes > ARGV_LEN as u64 { ARGV_LEN as u32 } else { self.bytes as u32 };
        // SAFETY: at most as many bytes as there is room for; the helper copes with any address.
        let code = unsafe {
            bpf_probe_read_user(to.cast(), bytes, ptr::without_provenance(self.start as usize))
        };
        if code == 0 { Some(bytes) } else { None }
    }
}
