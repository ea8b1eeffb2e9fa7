//! A request to a block device.

use core::ffi::c_void;

use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{
    block::{self, Operation},
    offsets::{ABSENT, Offset, RequestOffsets},
};

use super::task::{constant, is_hierarchy_2, member};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static REQUEST_OFFSETS: RequestOffsets = RequestOffsets::ABSENT;

/// Declares numbers of the kernel that userspace looks up by these names before loading, so that none
/// is guessed; [`ABSENT`] where the kernel's types do not name it.
macro_rules! enumerators {
    ($($(#[$attr:meta])* $name:ident),+ $(,)?) => {
        $($(#[$attr])* #[unsafe(no_mangle)] static $name: u32 = ABSENT;)+
    };
}

enumerators! {
    REQ_OP_READ,
    REQ_OP_WRITE,
    REQ_OP_FLUSH,
    REQ_OP_DISCARD,
    /// The first of the operations that drivers give a meaning.
    REQ_OP_DRV_IN,
    /// The first bit behind those of the operation.
    __REQ_FAILFAST_DEV,
    /// The bit of a request that is part of a flush sequence; named since Linux 6.10.
    __RQF_FLUSH_SEQ,
}

/// A request. It is only read, never written.
#[derive(Clone, Copy)]
pub struct Request(*const c_void);

/// What a request is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// An operation that somebody asked for.
    Operation(Operation),
    /// A flush of the device that the kernel made for those that asked for one.
    DeviceFlush,
    /// A command that only the driver understands.
    Passthrough,
}

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&REQUEST_OFFSETS.$field)
    };
}

impl Request {
    /// The `n`th argument of a BTF tracepoint.
    #[inline(always)]
    pub fn from_arg(ctx: &BtfTracePointContext, n: usize) -> Self {
        Self(ctx.arg::<*const c_void>(n))
    }

    /// Tells this request from every other that exists.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// What it is for. One that only flushes is a write of nothing, and whether it is of nothing can
    /// only be told before it is done.
    #[inline(always)]
    pub fn purpose(self) -> Purpose {
        let mask = (1 << constant(&__REQ_FAILFAST_DEV)) - 1;
        let operation = self.read(offset!(cmd_flags)) & mask;
        if operation >= constant(&REQ_OP_DRV_IN) {
            Purpose::Passthrough
        } else if operation == constant(&REQ_OP_READ) {
            Purpose::Operation(Operation::Read)
        } else if operation == constant(&REQ_OP_FLUSH) {
            Purpose::DeviceFlush
        } else if operation == constant(&REQ_OP_DISCARD) {
            Purpose::Operation(Operation::Discard)
        } else if operation == constant(&REQ_OP_WRITE) && self.remaining() == 0 {
            Purpose::Operation(Operation::Flush)
        } else {
            Purpose::Operation(Operation::Write)
        }
    }

    /// Whether it is one part of a flush sequence, after which there is more to come.
    ///
    /// Before Linux 6.10 the kernel's types do not name the flag. There the request's own state shows
    /// it: a sequence begins by setting `end_io` to a function of `blk-flush.c`, ends by restoring it,
    /// and leaves `end_io_data` null, as it is in every new request. Nothing else in those kernels sets
    /// `end_io` of a read, write or discard but request-based device-mapper, in clones that never enter
    /// a sequence and whose `end_io_data` is not null.
    #[inline(always)]
    pub fn is_in_flush_sequence(self) -> bool {
        let flag = constant(&__RQF_FLUSH_SEQ);
        if flag != ABSENT {
            return self.read(offset!(rq_flags)) & 1 << flag != 0;
        }
        self.read(offset!(end_io)) != 0 && self.read(offset!(end_io_data)) == 0
    }

    /// Bytes that are not done yet.
    #[inline(always)]
    pub fn remaining(self) -> u32 {
        self.read(offset!(data_len))
    }

    /// When it was made, in monotonic nanoseconds; 0 where the kernel does not note it.
    #[inline(always)]
    pub fn started(self) -> u64 {
        self.read(offset!(start_time_ns))
    }

    /// When it was last issued to the device, in monotonic nanoseconds; 0 where the kernel does not
    /// note it.
    #[inline(always)]
    pub fn issued(self) -> u64 {
        self.read(offset!(io_start_time_ns))
    }

    /// Address of the queue that it is in.
    #[inline(always)]
    pub fn queue(self) -> u64 {
        self.read(offset!(q)) as u64
    }

    /// The whole disk that it is for, see [`block::device`].
    #[inline(always)]
    pub fn device(self) -> u32 {
        let queue = self.read(offset!(q));
        // SAFETY: each pointer is loaded from the member that holds it, so the verifier knows its
        // type; a null on the way reads as 0.
        unsafe {
            let disk = member(queue, offset!(disk));
            block::device(member(disk, offset!(major)), member(disk, offset!(first_minor)))
        }
    }

    /// Id of the cgroup that it is charged to, which for writeback is the one that dirtied the pages;
    /// 0 where the kernel does not know. Only the version 2 hierarchy tells.
    #[inline(always)]
    pub fn charged_cgroup_id(self) -> u64 {
        let unknown = offset!(bi_blkg).is_absent()
            || offset!(blkcg).is_absent()
            || offset!(blkcg_cgroup).is_absent();
        if unknown || !is_hierarchy_2() {
            return 0;
        }
        let bio = self.read(offset!(bio));
        // SAFETY: as above.
        unsafe {
            let blkg = member(bio, offset!(bi_blkg));
            let blkcg = member(blkg, offset!(blkcg));
            let cgroup = member(blkcg, offset!(blkcg_cgroup));
            let kn = member(cgroup, offset!(kn));
            member(kn, offset!(id))
        }
    }

    #[inline(always)]
    fn read<T: Copy>(self, offset: Offset<T>) -> T {
        // SAFETY: every caller names a member of it, and the verifier checks the pointer.
        unsafe { member(self.0, offset) }
    }
}
