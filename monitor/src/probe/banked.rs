//! Values that programs add to in the bank of the tick, and that are emptied once it has ended.

use aya::maps::{Array, MapData, MapError};
use monitor_common::Pod;

use super::{ProbeError, maps};
use crate::kernel::loader::{Object, Raw};

/// An array of such values.
pub(super) struct Banked<V: Pod> {
    map: Array<MapData, Raw<V>>,
    probe: &'static str,
    name: &'static str,
    /// The value that all begin with.
    empty: V,
}

impl<V: Pod> Banked<V> {
    /// Takes the map called `name`.
    pub(super) fn take(
        object: &mut Object,
        (probe, name): (&'static str, &'static str),
        empty: V,
    ) -> Result<Self, ProbeError> {
        Ok(Self { map: maps::take(object, (probe, name))?, probe, name, empty })
    }

    /// Takes a value that no program writes to any more, and leaves an empty one.
    pub(super) fn drain(&mut self, index: u32) -> Result<V, ProbeError> {
        self.try_drain(index).map_err(|source| ProbeError::Map {
            probe: self.probe,
            map: self.name,
            source,
        })
    }

    fn try_drain(&mut self, index: u32) -> Result<V, MapError> {
        let Raw(value) = self.map.get(&index, 0)?;
        self.map.set(index, Raw(self.empty), 0)?;
        Ok(value)
    }
}
