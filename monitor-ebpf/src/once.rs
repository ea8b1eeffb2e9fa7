//! What is told once, though several threads of a process may find it out.

use aya_ebpf::{bindings::BPF_NOEXIST, btf_maps::LruHashMap};
use monitor_common::key::Identity;

use crate::kernel::Task;

/// Processes that something was told of a moment ago.
pub type Told = LruHashMap<Identity, u8, 1024>;

/// The kernel's number of the error that something is there already.
const EEXIST: i32 = 17;

/// Whether nothing was told of the process of `task` yet. Without room to remember that, it may be told
/// twice, which is better than never.
#[inline(always)]
pub fn is_first(told: &Told, task: Task) -> bool {
    let identity = Identity { start_ns: task.leader().start_time(), tgid: task.tgid().into() };
    told.insert(identity, 0, BPF_NOEXIST.into()) != Err(-EEXIST)
}
