//! A request to a block device, and the bios that it is made of.

use core::ffi::c_void;

use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{
    block::{self, Operation},
    offsets::{ABSENT, Offset, RequestOffsets},
};

use super::task::{Task, constant, is_hierarchy_2, low_half, member};

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
    /// The bits of what has the device flushed before or after it.
    __REQ_PREFLUSH,
    __REQ_FUA,
    /// The bit of a request that is part of a flush sequence; named since Linux 6.10.
    __RQF_FLUSH_SEQ,
    /// The bit of a queue whose requests the kernel notes the issue time of; named since Linux 6.11.
    QUEUE_FLAG_STATS,
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

    /// When the kernel noted that it was made, in monotonic nanoseconds; 0 where it does not.
    #[inline(always)]
    pub fn started(self) -> u64 {
        self.read(offset!(start_time_ns))
    }

    /// When the kernel noted that it was last issued to the device, in monotonic nanoseconds; 0 where
    /// it does not.
    #[inline(always)]
    pub fn issued(self) -> u64 {
        self.read(offset!(io_start_time_ns))
    }

    /// Whether the kernel is known to note when requests of its queue are issued.
    #[inline(always)]
    pub fn is_issue_noted(self) -> bool {
        let flag = constant(&QUEUE_FLAG_STATS);
        let queue = self.read(offset!(q));
        // SAFETY: loaded from the member that holds it, so the verifier knows its type.
        flag != ABSENT && unsafe { member(queue, offset!(queue_flags)) } >> flag & 1 != 0
    }

    /// Whether the device is flushed before or after it, so that other requests may do a part of it.
    #[inline(always)]
    pub fn is_with_flush(self) -> bool {
        has_flush(self.read(offset!(cmd_flags))) || self.is_in_flush_sequence()
    }

    /// The first bio of it that is not done yet.
    #[inline(always)]
    pub fn bio(self) -> Bio {
        Bio(self.read(offset!(bio)))
    }

    /// The lower half of the address of the queue to the hardware that it is for.
    #[inline(always)]
    pub fn hardware_queue(self) -> u32 {
        low_half(self.read(offset!(mq_hctx)) as u64)
    }

    /// The whole disk that it is for, see [`block::device`].
    #[inline(always)]
    pub fn device(self) -> u32 {
        let queue = self.read(offset!(q));
        // SAFETY: loaded from the member that holds it, so the verifier knows its type.
        number(unsafe { member(queue, offset!(disk)) })
    }

    #[inline(always)]
    fn read<T: Copy>(self, offset: Offset<T>) -> T {
        // SAFETY: every caller names a member of it, and the verifier checks the pointer.
        unsafe { member(self.0, offset) }
    }
}

/// A part of a request, or what one is made for. It is only read, never written.
#[derive(Clone, Copy)]
pub struct Bio(*const c_void);

impl Bio {
    /// The `n`th argument of a BTF tracepoint.
    #[inline(always)]
    pub fn from_arg(ctx: &BtfTracePointContext, n: usize) -> Self {
        Self(ctx.arg::<*const c_void>(n))
    }

    /// Tells this bio from every other that exists; 0 where there is none.
    #[inline(always)]
    pub fn address(self) -> u64 {
        self.0 as u64
    }

    /// What a request does that has the device flushed and is made for this bio; `None` where it has
    /// not.
    #[inline(always)]
    pub fn operation_with_flush(self) -> Option<Operation> {
        if !has_flush(self.read(offset!(bi_opf))) {
            return None;
        }
        let is_empty = self.read(offset!(bi_size)) == 0;
        Some(if is_empty { Operation::Flush } else { Operation::Write })
    }

    /// The whole disk that it is for, see [`block::device`].
    #[inline(always)]
    pub fn device(self) -> u32 {
        let device = self.read(offset!(bi_bdev));
        // SAFETY: loaded from the member that holds it, so the verifier knows its type.
        number(unsafe { member(device, offset!(bd_disk)) })
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
        let blkg = self.read(offset!(bi_blkg));
        // SAFETY: each pointer is loaded from the member that holds it, so the verifier knows its
        // type; a null on the way reads as 0.
        unsafe {
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

impl Task {
    /// Whether it holds requests back to submit them together. Then the kernel may take an earlier
    /// reading of its clock for the times of requests that this task makes or issues: since Linux 6.9
    /// the first since it began or last slept, and until 6.7 that when a request was allocated together
    /// with others.
    #[inline(always)]
    pub fn has_plug(self) -> bool {
        self.read(offset!(plug)) != 0
    }
}

/// Whether flags of a request or a bio have the device flushed before or after it.
#[inline(always)]
fn has_flush(flags: u32) -> bool {
    let mask = 1 << constant(&__REQ_PREFLUSH) | 1 << constant(&__REQ_FUA);
    flags & mask != 0
}

/// The number of a disk, see [`block::device`].
#[inline(always)]
fn number(disk: *const c_void) -> u32 {
    // SAFETY: the verifier knows the pointer's type; a null reads as 0.
    unsafe { block::device(member(disk, offset!(major)), member(disk, offset!(first_minor))) }
}
