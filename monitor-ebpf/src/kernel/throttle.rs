//! For how long the CPU quota of a thread's group throttled it.

use core::ffi::c_void;

use monitor_common::offsets::ThrottleOffsets;

use super::task::{Task, constant, low_half, member};

/// Written by userspace before loading.
#[unsafe(no_mangle)]
static THROTTLE_OFFSETS: ThrottleOffsets = ThrottleOffsets::ABSENT;

/// The quota of a group that has none, nor any above it. Not in the kernel's types; were it another, more
/// waits would be looked at, and be found not to be throttled.
const NO_QUOTA: u64 = u64::MAX;

/// The first priority of threads that quotas apply to. It is part of the ABI: `/proc/PID/stat` shows
/// priorities less this number, and negative ones of real-time threads.
const FIRST_FAIR_PRIO: u32 = 100;

/// The offset of a member.
macro_rules! offset {
    ($field:ident) => {
        constant(&THROTTLE_OFFSETS.$field)
    };
}

/// Whether the kernel says for how long a run queue has been throttled. Where it does not, the verifier has to see
/// that nothing is read: an offset that is absent is none that may be added.
#[inline(always)]
fn has_clock() -> bool {
    !(offset!(time).is_absent() || offset!(since).is_absent() || offset!(rq).is_absent())
}

/// The fair run queue of a group on one CPU. It is only read, never written.
#[derive(Clone, Copy)]
pub struct GroupQueue(*const c_void);

impl GroupQueue {
    /// Tells it from others, and is never 0.
    #[inline(always)]
    pub fn id(self) -> u32 {
        low_half(self.0 as u64) | 1
    }

    /// For how long it has been throttled so far, in nanoseconds of its CPU's clock, which the scheduler
    /// has set before each wakeup and switch on that CPU; 0 where that is not known.
    #[inline(always)]
    pub fn throttled_ns(self) -> u64 {
        if !has_clock() {
            return 0;
        }
        // SAFETY: each pointer is loaded from the member that holds it, so the verifier knows its type; a
        // null on the way reads as 0.
        unsafe {
            let time = member(self.0, offset!(time));
            let since = member(self.0, offset!(since));
            if since == 0 {
                return time;
            }
            let now = member(member(self.0, offset!(rq)), offset!(clock));
            if now > since { time.wrapping_add(now.wrapping_sub(since)) } else { time }
        }
    }
}

impl Task {
    /// Whether it may be throttled before it runs, as it begins to wait for a CPU, be it `woken` or made to
    /// leave its CPU.
    ///
    /// From 6.18 on only a thread that is to return to user mode is throttled, and taken off its CPU for
    /// that: it is throttled at the beginning of such a wait, and at the end of no other. Before, what is
    /// throttled is a run queue with all threads on it.
    #[inline(always)]
    pub fn may_be_throttled(self, woken: bool) -> bool {
        if !has_clock() {
            return false;
        }
        if !offset!(throttled).is_absent() {
            return !woken && self.is_throttled();
        }
        if offset!(group).is_absent() || offset!(quota).is_absent() {
            return false;
        }
        // SAFETY: loaded from the member that holds it, so the verifier knows its type.
        let quota = unsafe { member(self.read(offset!(group)), offset!(quota)) };
        quota != NO_QUOTA && self.read(offset!(prio)) >= FIRST_FAIR_PRIO
    }

    /// Whether it is throttled, from 6.18 on; false before.
    #[inline(always)]
    pub fn is_throttled(self) -> bool {
        !offset!(throttled).is_absent() && self.read(offset!(throttled)) != 0
    }

    /// The fair run queue of its group on its CPU.
    #[inline(always)]
    pub fn group_queue(self) -> GroupQueue {
        GroupQueue(self.read(offset!(queue)))
    }
}
