//! Which members of which kernel structures the programs read, and as what.
//!
//! Rust cannot emit CO-RE relocations. Instead userspace looks every member up in the running
//! kernel's BTF and writes its offset into the program's read-only data before loading, where the
//! verifier sees a constant. The type that a member is read as is part of its [`Offset`], so the
//! width that userspace compares with BTF is the width that programs read.

use core::{ffi::c_void, marker::PhantomData};

use crate::{event::RSS_COUNTERS, key::COMM_LEN};

/// A member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// The offset of a member that is read as a `T`.
#[repr(transparent)]
#[derive(Debug)]
pub struct Offset<T> {
    bytes: u32,
    read_as: PhantomData<fn() -> T>,
}

impl<T> Offset<T> {
    /// The offset of a member that the running kernel does not have.
    pub const ABSENT: Self = Self::new(ABSENT);

    const fn new(bytes: u32) -> Self {
        Self { bytes, read_as: PhantomData }
    }

    /// Whether the running kernel does not have the member.
    #[inline(always)]
    pub const fn is_absent(self) -> bool {
        self.bytes == ABSENT
    }

    /// The offset in bytes.
    #[inline(always)]
    pub const fn bytes(self) -> usize {
        self.bytes as usize
    }

    /// The same member, so many bytes after the beginning of the structure that has it.
    #[inline(always)]
    #[must_use]
    pub const fn after(self, bytes: usize) -> Self {
        Self::new(self.bytes + bytes as u32)
    }
}

impl<T, const N: usize> Offset<[T; N]> {
    /// The offset of an element. Programs may read beyond `N` where the kernel's array is longer.
    #[inline(always)]
    pub const fn element(self, index: usize) -> Offset<T> {
        Offset::new(self.bytes + (index * size_of::<T>()) as u32)
    }
}

impl<const N: usize> Offset<[u8; N]> {
    /// The offset of eight bytes, to copy a text by few loads.
    #[inline(always)]
    pub const fn word(self, index: usize) -> Offset<u64> {
        Offset::new(self.bytes + (index * size_of::<u64>()) as u32)
    }
}

impl<T> Clone for Offset<T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Offset<T> {}

/// How a program reads a member, for the comparison with the size that the kernel's BTF states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// All of its bytes.
    Exactly(u32),
    /// The least significant byte of an integer, however wide.
    LowByte,
    /// At least so many elements from the beginning of an array, each with so many bytes.
    Elements {
        /// Number of elements.
        count: u32,
        /// Bytes of one.
        bytes: u32,
    },
    /// None of them.
    Nothing,
}

/// A type that a member is read as.
pub trait ReadAs {
    /// What it reads.
    const WIDTH: Width;
}

/// The width of each type that reads as many bytes as it has.
macro_rules! read_as {
    ($($type:ty)*) => {
        $(impl ReadAs for $type {
            const WIDTH: Width = Width::Exactly(size_of::<$type>() as u32);
        })*
    };
}

read_as!(u8 u16 u32 u64 i32 Pointer);

impl<T: ReadAs, const N: usize> ReadAs for [T; N] {
    const WIDTH: Width = Width::Elements { count: N as u32, bytes: size_of::<T>() as u32 };
}

/// A pointer to another structure of the kernel.
pub type Pointer = *const c_void;

/// The least significant byte of an integer whose width differs between kernels. Every kernel that
/// programs run on is little endian, so it is the first.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct LowByte(pub u8);

impl ReadAs for LowByte {
    const WIDTH: Width = Width::LowByte;
}

/// A member whose position alone matters: what is read has an offset of its own.
#[derive(Clone, Copy, Debug)]
pub enum Position {}

impl ReadAs for Position {
    const WIDTH: Width = Width::Nothing;
}

/// A global of the programs that is an array of offsets, and where each comes from.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Name of the global.
    pub global: &'static str,
    /// The members, in the order of the global's fields.
    pub members: &'static [Member],
}

/// A member that programs read.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Where it may be found, best place first, each a `struct.member.member`.
    pub places: &'static [&'static str],
    /// How it is read.
    pub width: Width,
}

/// Declares a `repr(C)` struct of offsets, together with the table that says where each comes from.
/// A field is `name: type that it is read as, "place"`. Where a member need not exist in every
/// kernel, the last place is `"-"`; then [`ABSENT`] is its offset.
macro_rules! offsets {
    (
        $(#[$attr:meta])*
        $name:ident for $global:literal {
            $($(#[$field_attr:meta])* $field:ident: $type:ty, $($source:literal)|+);+ $(;)?
        }
    ) => {
        $(#[$attr])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            $($(#[$field_attr])* pub $field: Offset<$type>,)+
        }

        impl $name {
            /// Where the offsets come from.
            pub const TABLE: Table = Table {
                global: $global,
                members: &[
                    $(Member { places: &[$($source),+], width: <$type as ReadAs>::WIDTH }),+
                ],
            };
            /// Nothing known.
            pub const ABSENT: Self = Self { $($field: Offset::ABSENT,)+ };
        }
    };
}

mod thread;

pub use thread::*;

offsets! {
    /// Offsets for what is read of a task's identity and its cgroup.
    TaskOffsets for "TASK_OFFSETS" {
        /// Thread id.
        pid: u32, "task_struct.pid";
        /// Process id.
        tgid: u32, "task_struct.tgid";
        /// `PF_*` flags.
        flags: u32, "task_struct.flags";
        /// Command name.
        comm: [u8; COMM_LEN], "task_struct.comm";
        /// The thread-group leader.
        group_leader: Pointer, "task_struct.group_leader";
        /// The task's set of cgroups.
        cgroups: Pointer, "task_struct.cgroups";
        /// The cgroup in the version 2 hierarchy.
        dfl_cgrp: Pointer, "css_set.dfl_cgrp";
        /// The array of per-controller states, for version 1 hierarchies.
        subsys: [Pointer; 1], "css_set.subsys";
        /// The cgroup of a controller's state.
        css_cgroup: Pointer, "cgroup_subsys_state.cgroup";
        /// The directory of a cgroup.
        kn: Pointer, "cgroup.kn";
        /// Its inode number.
        id: u64, "kernfs_node.id";
    }
}

offsets! {
    /// Offsets for what is read of a process beyond [`TaskOffsets`].
    ProcessOffsets for "PROCESS_OFFSETS" {
        /// The parent.
        real_parent: Pointer, "task_struct.real_parent";
        /// When the task was started, in monotonic nanoseconds.
        start_time: u64, "task_struct.start_time";
        /// How the task ended.
        exit_code: u32, "task_struct.exit_code";
        /// What the threads of a process share.
        signal: Pointer, "task_struct.signal";
        /// Its memory.
        mm: Pointer, "task_struct.mm";
        /// Threads that have not ended.
        live: u32, "signal_struct.live";
        /// Threads that have not been released.
        nr_threads: u32, "signal_struct.nr_threads";
        /// Threads that have not begun to end, in every kernel that is supported.
        quick_threads: Position, "signal_struct.quick_threads" | "-";
        /// How all threads end.
        group_exit_code: u32, "signal_struct.group_exit_code";
        /// Peak resident set in pages, set at the end.
        maxrss: u64, "signal_struct.maxrss";
        /// Where a program's arguments begin.
        arg_start: u64, "mm_struct.arg_start";
        /// Where they end.
        arg_end: u64, "mm_struct.arg_end";
    }
}

offsets! {
    /// Offsets for everything that is read of a block request.
    RequestOffsets for "REQUEST_OFFSETS" {
        /// The device's queue.
        q: Pointer, "request.q";
        /// Which of its queues to the hardware it is for.
        mq_hctx: Pointer, "request.mq_hctx";
        /// Operation and `REQ_*` flags.
        cmd_flags: u32, "request.cmd_flags";
        /// `RQF_*` flags.
        rq_flags: u32, "request.rq_flags";
        /// Bytes that are not done yet.
        data_len: u32, "request.__data_len";
        /// The first part that is not done yet.
        bio: Pointer, "request.bio";
        /// When it was made.
        start_time_ns: u64, "request.start_time_ns";
        /// When it was last issued to the device.
        io_start_time_ns: u64, "request.io_start_time_ns";
        /// What runs when it ends.
        end_io: u64, "request.end_io";
        /// For that to use.
        end_io_data: u64, "request.end_io_data";
        /// The disk of a queue.
        disk: Pointer, "request_queue.disk";
        /// `QUEUE_FLAG_*` bits of a queue.
        queue_flags: u64, "request_queue.queue_flags";
        /// Its major number.
        major: u32, "gendisk.major";
        /// Its first minor number.
        first_minor: u32, "gendisk.first_minor";
        /// Requests that a task holds back to submit them together.
        plug: u64, "task_struct.plug";
        /// Operation and `REQ_*` flags of a part.
        bi_opf: u32, "bio.bi_opf";
        /// Its bytes.
        bi_size: u32, "bio.bi_iter.bi_size";
        /// The device that it is for.
        bi_bdev: Pointer, "bio.bi_bdev";
        /// The disk of a device.
        bd_disk: Pointer, "block_device.bd_disk";
        /// Whom a part is charged to.
        bi_blkg: Pointer, "bio.bi_blkg" | "-";
        /// The cgroup of that, as the controller of block devices sees it.
        blkcg: Pointer, "blkcg_gq.blkcg" | "-";
        /// The cgroup itself.
        blkcg_cgroup: Pointer, "blkcg.css.cgroup" | "-";
        /// Its directory.
        kn: Pointer, "cgroup.kn";
        /// The inode number of that.
        id: u64, "kernfs_node.id";
    }
}

offsets! {
    /// Offsets for what is read of a process that was chosen to be killed.
    MemoryOffsets for "MEMORY_OFFSETS" {
        /// The memory for whose sake it was chosen.
        oom_mm: Pointer, "signal_struct.oom_mm";
        /// Pages of the address space.
        total_vm: u64, "mm_struct.total_vm";
        /// Resident pages by kind as plain numbers, before 6.2.
        rss_count: [u64; RSS_COUNTERS], "mm_struct.rss_stat.count" | "-";
        /// The same as counters that CPUs add up in.
        rss_stat: Position, "mm_struct.rss_stat";
        /// The sum in such a counter.
        counter_count: u64, "percpu_counter.count";
        /// Its last member; none where there is only one CPU.
        counter_last: Position, "percpu_counter.counters" | "-";
        /// The name of a cgroup's directory.
        kn_name: u64, "kernfs_node.name";
    }
}

offsets! {
    /// Offsets for what is read of a socket.
    SockOffsets for "SOCK_OFFSETS" {
        /// The address family.
        family: u16, "sock.__sk_common.skc_family";
        /// The connection's state.
        state: u8, "sock.__sk_common.skc_state";
        /// The network namespace.
        net: u64, "sock.__sk_common.skc_net";
        /// Flags, by the numbers of `enum sock_flags`.
        flags: u64, "sock.__sk_common.skc_flags";
        /// The other end's port, most significant byte first.
        remote_port: u16, "sock.__sk_common.skc_dport";
        /// The own port.
        local_port: u16, "sock.__sk_common.skc_num";
        /// The other end's address.
        remote_v4: u32, "sock.__sk_common.skc_daddr";
        /// The own address.
        local_v4: u32, "sock.__sk_common.skc_rcv_saddr";
        /// The other end's address, in kernels that have IPv6.
        remote_v6: [u32; 4], "sock.__sk_common.skc_v6_daddr" | "-";
        /// The own address, in kernels that have IPv6.
        local_v6: [u32; 4], "sock.__sk_common.skc_v6_rcv_saddr" | "-";
        /// The number of the protocol.
        protocol: u16, "sock.sk_protocol";
        /// Which directions are shut down.
        shutdown: u8, "sock.sk_shutdown";
        /// Why the connection ended.
        error: i32, "sock.sk_err";
        /// The socket of an open file.
        socket_sk: Pointer, "socket.sk";
        /// Bytes sent, those sent again too.
        bytes_sent: u64, "tcp_sock.bytes_sent";
        /// Bytes sent again.
        bytes_retrans: u64, "tcp_sock.bytes_retrans";
        /// Bytes received in order.
        bytes_received: u64, "tcp_sock.bytes_received";
        /// Segments sent again.
        total_retrans: u32, "tcp_sock.total_retrans";
        /// Smoothed round-trip time, in eighths of a microsecond.
        srtt_us: u32, "tcp_sock.srtt_us";
        /// Sequence number behind the last byte that the process has handed over.
        write_seq: u32, "tcp_sock.write_seq";
        /// Sequence number behind the last byte that was sent.
        snd_nxt: u32, "tcp_sock.snd_nxt";
        /// What a protocol above TCP has for the socket.
        ulp_data: Pointer, "inet_connection_sock.icsk_ulp_data";
        /// Whether it is a subflow of MPTCP, in kernels that have that.
        is_mptcp: u8, "tcp_sock.is_mptcp" | "-";
        /// The connection of a subflow.
        subflow_conn: Pointer, "mptcp_subflow_context.conn" | "-";
        /// The first subflow of a connection.
        first_subflow: Pointer, "mptcp_sock.first" | "-";
        /// Whether a datagram waits for more before it is sent.
        udp_pending: i32, "udp_sock.pending";
        /// Its length, with the header.
        udp_len: u16, "udp_sock.len";
        /// Flags, one of which says whether datagrams always do; that alone before Linux 6.7.
        udp_cork: LowByte, "udp_sock.udp_flags" | "udp_sock.corkflag";
        /// What the process sees of it.
        socket: Pointer, "sock.sk_socket";
        /// The state of that, by the numbers of `enum socket_state`.
        socket_state: u32, "socket.state";
    }
}

offsets! {
    /// Offsets for what is read of a message that is sent or received by a socket.
    MessageOffsets for "MESSAGE_OFFSETS" {
        /// The address that it goes to or came from.
        name: Pointer, "msghdr.msg_name";
        /// What kind of buffers it is in.
        iter_type: u8, "msghdr.msg_iter.iter_type";
        /// How far into the current buffer it has been copied.
        iov_offset: u64, "msghdr.msg_iter.iov_offset";
        /// The buffer, where there is but one.
        ubuf: u64, "msghdr.msg_iter.ubuf" | "-";
        /// The current buffer, where there is an array of them.
        iov: u64, "msghdr.msg_iter.__iov" | "msghdr.msg_iter.iov";
    }
}

offsets! {
    /// Offsets for what is read of a cgroup beyond [`TaskOffsets`].
    CgroupOffsets for "CGROUP_OFFSETS" {
        /// The hierarchy it is in.
        root: Pointer, "cgroup.root";
        /// The controllers of a hierarchy, one bit each.
        subsys_mask: u32, "cgroup_root.subsys_mask";
        /// The number of a hierarchy, 0 for version 2.
        hierarchy_id: u32, "cgroup_root.hierarchy_id";
        /// Its array of per-controller states.
        subsys: [Pointer; 1], "cgroup.subsys";
        /// The state of the CPU controller, in what the scheduler keeps of a cgroup.
        task_group_css: Position, "task_group.css" | "-";
        /// Periods of the quota, in kernels that have quotas.
        nr_periods: u32, "task_group.cfs_bandwidth.nr_periods" | "-";
        /// Throttled periods.
        nr_throttled: u32, "task_group.cfs_bandwidth.nr_throttled" | "-";
        /// Throttled nanoseconds.
        throttled_time: u64, "task_group.cfs_bandwidth.throttled_time" | "-";
    }
}
