//! Choosing the bank that programs record in, and waiting until none can still be writing to the one
//! that was flipped away.

use std::{thread, time::Duration};

use aya::maps::{Array, MapData};

use super::{ProbeError, maps};
use crate::kernel::loader::Object;

/// The programs' only variable that changes, which aya makes a map of its section for.
const BSS: &str = ".bss";

/// The word by which a probe's programs choose their bank.
pub(super) struct Banks {
    word: Array<MapData, u64>,
    probe: &'static str,
    /// The number of the tick; its lowest bit is the bank.
    tick: u64,
}

impl Banks {
    /// Takes the word; bank 0 is active.
    pub(super) fn take(object: &mut Object, probe: &'static str) -> Result<Self, ProbeError> {
        let word = maps::take(object, (probe, BSS))?;
        Ok(Self { word, probe, tick: 0 })
    }

    /// Has programs write to the other bank from now on.
    pub(super) fn flip(&mut self) -> Result<(), ProbeError> {
        let tick = self.tick + 1;
        self.word.set(0, tick, 0).map_err(|source| ProbeError::Map {
            probe: self.probe,
            map: BSS,
            source,
        })?;
        self.tick = tick;
        Ok(())
    }

    /// The bank that programs do not write to.
    pub(super) fn ended(&self) -> u16 {
        (self.tick & 1) as u16 ^ 1
    }
}

/// `MEMBARRIER_CMD_GLOBAL`: waits for an RCU grace period.
const GLOBAL: libc::c_int = 1;

/// How long to wait where the kernel does not offer the call: far longer than any program runs.
const FALLBACK: Duration = Duration::from_millis(50);

/// Returns when every program that was running at the time of the call has ended. BPF programs run
/// as RCU readers, and the kernel's global memory barrier waits for a grace period. It takes some
/// milliseconds and next to no CPU time, but seconds where processes end by the thousand in each: it
/// stands in line with what they leave to the kernel, the tick is late, and nothing is lost. Kernels
/// with isolated (`nohz_full`) CPUs do not offer it; there it waits a fixed time.
pub fn wait_for_programs() {
    #[expect(unsafe_code, reason = "libc has no wrapper for membarrier")]
    // SAFETY: takes integers only.
    let result = unsafe { libc::syscall(libc::SYS_membarrier, GLOBAL, 0, 0) };
    if result != 0 {
        thread::sleep(FALLBACK);
    }
}
