//! Banks, and whom a measurement belongs to.
//!
//! All that the kernel records goes into one of two *banks*. Userspace flips the bank, waits until no
//! program can still be writing to the old one, and then owns it: what it reads there is exactly what
//! happened in one tick, and it can be emptied without a race.

/// Number of banks.
pub const BANKS: usize = 2;
/// What stands for a bank while not all hooks are attached. What was recorded then could not be
/// discarded again: threads that end keep it for their process.
pub const NO_BANK: u32 = BANKS as u32;
/// Length of a kernel command name, with its terminating zero.
pub const COMM_LEN: usize = 16;
/// Whom usage belongs to.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProcessKey {
    /// Id of the cgroup of the thread-group leader.
    pub cgroup_id: u64,
    /// Command name of the thread-group leader.
    pub comm: [u8; COMM_LEN],
    /// Process id; 0 when the whole process has exited.
    pub tgid: u32,
    /// The bank this was recorded in, for exited threads; 0 otherwise.
    pub bank: u16,
    /// 1 for threads of the kernel.
    pub kernel_thread: u16,
}

impl ProcessKey {
    /// The entry for exited threads that found the table full. No process can have this name in a
    /// cgroup of id 0.
    pub const fn other(bank: u16) -> Self {
        let comm = *b"(other)\0\0\0\0\0\0\0\0\0";
        Self { cgroup_id: 0, comm, tgid: 0, bank, kernel_thread: 0 }
    }
}

crate::pod!(ProcessKey);

const _: () = assert!(size_of::<ProcessKey>() == 32);
