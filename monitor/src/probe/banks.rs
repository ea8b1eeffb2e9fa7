//! Choosing the bank that programs record in.

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
