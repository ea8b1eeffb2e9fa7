//! Which members of which kernel structures the programs read.
//!
//! Rust cannot emit CO-RE relocations. Instead userspace looks every member up in the running
//! kernel's BTF and writes its offset into the program's read-only data before loading, where the
//! verifier sees a constant.

/// A member that the running kernel does not have.
pub const ABSENT: u32 = u32::MAX;

/// A global of the programs that is an array of offsets, and where each comes from.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Name of the global.
    pub global: &'static str,
    /// The members, in the order of the global's fields.
    pub members: &'static [Member],
}

/// Where a member's offset may be found, best place first, each a `struct.member.member`.
pub type Member = &'static [&'static str];

/// Declares a `repr(C)` struct of offsets, together with the table that says where each comes from.
/// Where a member need not exist in every kernel, the last place is `"-"`; then [`ABSENT`] is its
/// offset.
macro_rules! offsets {
    (
        $(#[$attr:meta])*
        $name:ident for $global:literal {
            $($(#[$field_attr:meta])* $field:ident: $($source:literal)|+),+ $(,)?
        }
    ) => {
        $(#[$attr])*
        #[repr(C)]
        #[derive(Clone, Copy, Debug)]
        pub struct $name {
            $($(#[$field_attr])* pub $field: u32,)+
        }

        impl $name {
            /// Where the offsets come from.
            pub const TABLE: Table =
                Table { global: $global, members: &[$(&[$($source),+]),+] };
            /// Nothing known.
            pub const ABSENT: Self = Self { $($field: ABSENT,)+ };
        }
    };
}

offsets! {
    /// Offsets for everything that is read of a task and its cgroup.
    TaskOffsets for "TASK_OFFSETS" {
        /// Thread id.
        pid: "task_struct.pid",
        /// Process id.
        tgid: "task_struct.tgid",
        /// `PF_*` flags.
        flags: "task_struct.flags",
        /// Run state; 0 is runnable.
        state: "task_struct.__state" | "task_struct.state",
        /// Whether it is on a CPU.
        on_cpu: "task_struct.on_cpu",
        /// The CPU the task is on.
        cpu: "task_struct.thread_info.cpu" | "task_struct.cpu",
        /// Command name.
        comm: "task_struct.comm",
        /// The thread-group leader.
        group_leader: "task_struct.group_leader",
        /// The `struct pid`, null once the task is released.
        thread_pid: "task_struct.thread_pid",
        /// On-CPU time in nanoseconds.
        sum_exec_runtime: "task_struct.se.sum_exec_runtime",
        /// Voluntary context switches.
        nvcsw: "task_struct.nvcsw",
        /// Involuntary context switches.
        nivcsw: "task_struct.nivcsw",
        /// Minor page faults.
        min_flt: "task_struct.min_flt",
        /// Major page faults.
        maj_flt: "task_struct.maj_flt",
        /// The task's set of cgroups.
        cgroups: "task_struct.cgroups",
        /// The cgroup in the version 2 hierarchy.
        dfl_cgrp: "css_set.dfl_cgrp",
        /// The array of per-controller states, for version 1 hierarchies.
        subsys: "css_set.subsys",
        /// The cgroup of a controller's state.
        css_cgroup: "cgroup_subsys_state.cgroup",
        /// The directory of a cgroup.
        kn: "cgroup.kn",
        /// Its inode number.
        id: "kernfs_node.id",
    }
}

offsets! {
    /// Offsets for what is read of a process beyond [`TaskOffsets`].
    ProcessOffsets for "PROCESS_OFFSETS" {
        /// The parent.
        real_parent: "task_struct.real_parent",
        /// When the task was started, in monotonic nanoseconds.
        start_time: "task_struct.start_time",
        /// How the task ended.
        exit_code: "task_struct.exit_code",
        /// What the threads of a process share.
        signal: "task_struct.signal",
        /// Its memory.
        mm: "task_struct.mm",
        /// Threads that have not ended.
        live: "signal_struct.live",
        /// `SIGNAL_*` flags.
        signal_flags: "signal_struct.flags",
        /// How all threads end.
        group_exit_code: "signal_struct.group_exit_code",
        /// Peak resident set in pages, set at the end.
        maxrss: "signal_struct.maxrss",
        /// Where a program's arguments begin.
        arg_start: "mm_struct.arg_start",
        /// Where they end.
        arg_end: "mm_struct.arg_end",
    }
}

offsets! {
    /// Offsets for everything that is read of a block request.
    RequestOffsets for "REQUEST_OFFSETS" {
        /// The device's queue.
        q: "request.q",
        /// Operation and `REQ_*` flags.
        cmd_flags: "request.cmd_flags",
        /// `RQF_*` flags.
        rq_flags: "request.rq_flags",
        /// Bytes that are not done yet.
        data_len: "request.__data_len",
        /// The first part that is not done yet.
        bio: "request.bio",
        /// When it was made.
        start_time_ns: "request.start_time_ns",
        /// When it was last issued to the device.
        io_start_time_ns: "request.io_start_time_ns",
        /// The disk of a queue.
        disk: "request_queue.disk",
        /// Its major number.
        major: "gendisk.major",
        /// Its first minor number.
        first_minor: "gendisk.first_minor",
        /// Whom a part is charged to.
        bi_blkg: "bio.bi_blkg" | "-",
        /// The cgroup of that, as the controller of block devices sees it.
        blkcg: "blkcg_gq.blkcg" | "-",
        /// The cgroup itself.
        blkcg_cgroup: "blkcg.css.cgroup" | "-",
        /// Its directory.
        kn: "cgroup.kn",
        /// The inode number of that.
        id: "kernfs_node.id",
    }
}

offsets! {
    /// Offsets for what is read of a process that was chosen to be killed.
    MemoryOffsets for "MEMORY_OFFSETS" {
        /// The memory for whose sake it was chosen.
        oom_mm: "signal_struct.oom_mm",
        /// Pages of the address space.
        total_vm: "mm_struct.total_vm",
        /// Resident pages by kind as plain numbers, before 6.2.
        rss_count: "mm_struct.rss_stat.count" | "-",
        /// The same as counters that CPUs add up in.
        rss_stat: "mm_struct.rss_stat",
        /// The sum in such a counter.
        counter_count: "percpu_counter.count",
        /// Its last member; none where there is only one CPU.
        counter_last: "percpu_counter.counters" | "-",
        /// The name of a cgroup's directory.
        kn_name: "kernfs_node.name",
    }
}

offsets! {
    /// Offsets for what is read of a socket.
    SockOffsets for "SOCK_OFFSETS" {
        /// The address family.
        family: "sock.__sk_common.skc_family",
        /// The connection's state.
        state: "sock.__sk_common.skc_state",
        /// The network namespace.
        net: "sock.__sk_common.skc_net",
        /// Flags, by the numbers of `enum sock_flags`.
        flags: "sock.__sk_common.skc_flags",
        /// The other end's port, most significant byte first.
        remote_port: "sock.__sk_common.skc_dport",
        /// The own port.
        local_port: "sock.__sk_common.skc_num",
        /// The other end's address.
        remote_v4: "sock.__sk_common.skc_daddr",
        /// The own address.
        local_v4: "sock.__sk_common.skc_rcv_saddr",
        /// The other end's address, in kernels that have IPv6.
        remote_v6: "sock.__sk_common.skc_v6_daddr" | "-",
        /// The own address, in kernels that have IPv6.
        local_v6: "sock.__sk_common.skc_v6_rcv_saddr" | "-",
        /// The number of the protocol.
        protocol: "sock.sk_protocol",
        /// Which directions are shut down.
        shutdown: "sock.sk_shutdown",
        /// Why the connection ended.
        error: "sock.sk_err",
        /// The socket of an open file.
        socket_sk: "socket.sk",
        /// Bytes sent, those sent again too.
        bytes_sent: "tcp_sock.bytes_sent",
        /// Bytes sent again.
        bytes_retrans: "tcp_sock.bytes_retrans",
        /// Bytes received in order.
        bytes_received: "tcp_sock.bytes_received",
        /// Segments sent again.
        total_retrans: "tcp_sock.total_retrans",
        /// Smoothed round-trip time, in eighths of a microsecond.
        srtt_us: "tcp_sock.srtt_us",
    }
}

offsets! {
    /// Offsets for what is read of a message that is sent or received by a socket.
    MessageOffsets for "MESSAGE_OFFSETS" {
        /// The address that it goes to or came from.
        name: "msghdr.msg_name",
    }
}
