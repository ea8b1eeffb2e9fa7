//! Events that two programs at one tracepoint count once.
//!
//! From Linux 7.0 on tracepoints no longer switch preemption off. A task that is preempted in a program
//! keeps the kernel's recursion guard of that program and CPU taken, and the kernel skips the program for
//! other tasks at the same tracepoint there. A second program sees those events: the kernel runs both
//! for the same task, one after the other, and the first leaves a mark for the second. An event that
//! both miss is one run of the first program that was skipped and that no second one recovered.

use core::ptr;

use aya_ebpf::btf_maps::Array;

use crate::{atomic, bank, kernel::Task};

/// Slots for marks, by the low bits of the id of the running thread.
const MARKS: usize = 8192;

/// A mark that the first program left.
#[repr(C)]
pub struct Mark {
    /// Address of the thread that owns the slot, 0 when free.
    owner: u64,
    /// The event that the first program counted.
    event: u64,
    /// The tick it did so in.
    tick: u64,
}

/// After how many ticks a slot is taken over: its owner may have ended with the second program skipped.
const STALE: u64 = 4;

/// Marks of threads between the two programs.
pub type Marks = Array<Mark, MARKS>;

/// Which of the two programs runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Half {
    /// The one that the kernel runs first.
    First,
    /// The other.
    Second,
}

/// What a program does with an event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// The first counts it.
    Count,
    /// The first leaves it to the second, as another thread has its slot.
    Leave,
    /// The second counts it, as the first did not.
    Recover,
    /// The second has nothing to do.
    Nothing,
}

/// Whose turn it is to count an event of the running thread. `event` differs from that of the thread's
/// last event at any tracepoint that shares the marks.
#[inline(always)]
pub fn turn(marks: &Marks, half: Half, event: u64) -> Turn {
    let task = Task::current();
    let Some(mark) = marks.get_ptr_mut(task.pid() & (MARKS as u32 - 1)) else {
        return Turn::Nothing;
    };
    let me = task.address();
    // SAFETY: a map value, 8-byte aligned. Only the thread that owns a slot writes to it, so a mark
    // stays until its owner's next event or until it is stale, whatever others do.
    unsafe {
        let owner = ptr::read_volatile(&raw const (*mark).owner);
        match half {
            Half::First => {
                let tick = bank::tick();
                let is_stale =
                    tick.wrapping_sub(ptr::read_volatile(&raw const (*mark).tick)) > STALE;
                if owner != me
                    && (owner != 0 && !is_stale
                        || atomic::compare_exchange(&raw mut (*mark).owner, owner, me) != owner)
                {
                    return Turn::Leave;
                }
                ptr::write_volatile(&raw mut (*mark).tick, tick);
                ptr::write_volatile(&raw mut (*mark).event, event);
                Turn::Count
            }
            Half::Second => {
                if owner != me {
                    return Turn::Recover;
                }
                let counted = ptr::read_volatile(&raw const (*mark).event);
                ptr::write_volatile(&raw mut (*mark).owner, 0);
                if counted == event { Turn::Nothing } else { Turn::Recover }
            }
        }
    }
}
