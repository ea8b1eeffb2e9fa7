//! Events: what programs say of single things that happened, in a ring buffer, beside what they count.

use core::mem::offset_of;

use crate::key::ProcessKey;

/// What an event begins with.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Header {
    /// What happened, a [`Kind`]; anything else is not known here.
    pub kind: u32,
    /// Process id of the parent; 0 where it is not told.
    pub parent: u32,
    /// When, in monotonic nanoseconds.
    pub time_ns: u64,
    /// To whom; the bank means nothing.
    pub key: ProcessKey,
}

/// What can happen.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A process made another: a [`Fork`].
    Fork = 1,
    /// A process executed a program: an [`Exec`].
    Exec = 2,
    /// A process ended: an [`Exit`].
    Exit = 3,
    /// OOM kill: an [`OomKill`].
    OomKill = 4,
    /// A latency was as long as is worth telling: a [`Slow`].
    Slow = 5,
}

/// A process made another. The header is about the one that made it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Fork {
    /// Who made it.
    pub header: Header,
    /// Process id of the new one.
    pub child: u32,
    /// Fills the word.
    pub unused: u32,
}

/// Bytes of a program's arguments that are looked at.
pub const ARGV_LEN: usize = 256;

/// A process executed a program. Of the arguments only those bytes are sent that were read.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Exec {
    /// Who did, named as it is now.
    pub header: Header,
    /// Bytes of all arguments together, each with its terminating zero.
    pub argv_bytes: u32,
    /// Bytes of them in `argv`: at most [`ARGV_LEN`], none where they could not be read.
    pub argv_read: u32,
    /// The arguments.
    pub argv: [u8; ARGV_LEN],
}

/// A process ended: its last thread did.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Exit {
    /// Who ended.
    pub header: Header,
    /// Time since the process was made, in nanoseconds.
    pub lifetime_ns: u64,
    /// The kernel's peak of its resident set, in pages: the `ru_maxrss` of `getrusage`.
    pub peak_rss_pages: u64,
    /// Its status, as `wait` returns it.
    pub status: u32,
    /// Fills the word.
    pub unused: u32,
}

/// Bytes of a cgroup's name that are looked at.
pub const CGROUP_NAME_LEN: usize = 96;

/// An OOM kill.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct OomKill {
    /// The victim.
    pub header: Header,
    /// Id of its cgroup of the memory controller; 0 where there is none.
    pub memory_cgroup_id: u64,
    /// 1 when sizes are known; they are not once the memory has been given back.
    pub has_sizes: u64,
    /// Size of its address space, in pages.
    pub total_pages: u64,
    /// Resident pages: of files, anonymous, swapped out, shared, in the order of the kernel's counters.
    pub rss_pages: [u64; RSS_COUNTERS],
    /// Last part of the path of that cgroup, up to a zero; what follows means nothing.
    pub memory_cgroup: [u8; CGROUP_NAME_LEN],
}

/// The kernel's counters of a process's pages.
pub const RSS_COUNTERS: usize = 4;
/// Pages of files.
pub const RSS_FILE: usize = 0;
/// Anonymous pages.
pub const RSS_ANON: usize = 1;
/// Pages that were swapped out.
pub const RSS_SWAP: usize = 2;
/// Shared pages.
pub const RSS_SHMEM: usize = 3;

/// A latency was as long as the probe's threshold, or longer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Slow<S> {
    /// Who waited. The time is that of the end.
    pub header: Header,
    /// How long, in nanoseconds.
    pub latency_ns: u64,
    /// Which of the probe's latencies it is, by its place.
    pub latency: u32,
    /// Which thread waited; 0 where it is not known.
    pub tid: u32,
    /// For what, as the probe has it.
    pub subject: S,
}

#[expect(unsafe_code, reason = "repr(C), and no longer than what it is made of")]
// SAFETY: 64 bytes of integers, and then a type without padding, none of which is aligned to more.
unsafe impl<S: crate::Pod> crate::Pod for Slow<S> {}

crate::pod!(Exec, Exit, Fork, Header, OomKill);

/// Bytes of an [`Exec`] before its arguments.
pub const EXEC_HEAD: usize = offset_of!(Exec, argv);

const _: () = assert!(size_of::<Header>() == 16 + 32);
const _: () = assert!(size_of::<Slow<()>>() == 48 + 16);
const _: () = assert!(size_of::<Fork>() == 48 + 8);
const _: () = assert!(size_of::<Exec>() == 48 + 8 + ARGV_LEN);
const _: () = assert!(size_of::<Exit>() == 48 + 24);
const _: () = assert!(size_of::<OomKill>() == 48 + 24 + 8 * RSS_COUNTERS + CGROUP_NAME_LEN);
