//! A request to a block device.

use core::ffi::c_void;

use aya_ebpf::programs::BtfTracePointContext;
use monitor_common::{
    block::{self, Operation},
    offsets::{Offset, RequestOffsets},
};

use super::task::{constant, is_hierarchy_2, member};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static REQUEST_OFFSETS: RequestOffsets = RequestOffsets::ABSENT;

/// The flag of a request that is part of a sequence with flushes; userspace knows its value.
#[unsafe(no_mangle)]
static RQF_FLUSH_SEQ: u32 = 0;

/// The numbers of operations, which have not changed since 4.10.
const REQ_OP_READ: u32 = 0;
const REQ_OP_WRITE: u32 = 1;
const REQ_OP_FLUSH: u32 = 2;
const REQ_OP_DISCARD: u32 = 3;
/// The first of those that drivers give a meaning.
const REQ_OP_DRV_IN: u32 = 34;
/// The bits of the operation.
const REQ_OP_MASK: u32 = 0xff;

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
        match self.read(offset!(cmd_flags)) & REQ_OP_MASK {
            REQ_OP_READ => Purpose::Operation(Operation::Read),
            REQ_OP_FLUSH => Purpose::DeviceFlush,
            REQ_OP_DISCARD => Purpose::Operation(Operation::Discard),
            REQ_OP_DRV_IN.. => Purpose::Passthrough,
            REQ_OP_WRITE if self.remaining() == 0 => Purpose::Operation(Operation::Flush),
            _ => Purpose::Operation(Operation::Write),
        }
    }

    /// Whether it is one part of a sequence with flushes, after which there is more to come.
    #[inline(always)]
    pub fn is_in_flush_sequence(self) -> bool {
        self.read(offset!(rq_flags)) & constant(&RQF_FLUSH_SEQ) != 0
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
