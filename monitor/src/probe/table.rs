//! Tables that programs add to in the bank of the tick, and that are emptied once it has ended.

use aya::maps::{HashMap, MapData, MapError};
use monitor_common::{
    Pod,
    key::{BANKS, ProcessKey},
};

use super::{ProbeError, maps};
use crate::kernel::loader::{Object, Raw};

/// A key with the bank it was used in.
pub(super) trait Key: Pod + PartialEq {
    /// The bank.
    fn bank(&self) -> u16;

    /// The key of the entry for what finds the table full; nothing else has it.
    fn other(bank: u16) -> Self;
}

impl Key for ProcessKey {
    fn bank(&self) -> u16 {
        self.bank
    }

    fn other(bank: u16) -> Self {
        Self::other(bank)
    }
}

/// A table.
pub(super) struct Table<K: Key, V: Pod> {
    map: HashMap<MapData, Raw<K>, Raw<V>>,
    probe: &'static str,
    name: &'static str,
    /// The value that entries begin with.
    empty: V,
}

impl<K: Key, V: Pod> Table<K, V> {
    /// Takes the map called `name` and makes its entries for what finds it full.
    pub(super) fn take(
        object: &mut Object,
        (probe, name): (&'static str, &'static str),
        empty: V,
    ) -> Result<Self, ProbeError> {
        let map = maps::take(object, (probe, name))?;
        let mut table = Self { map, probe, name, empty };
        for bank in 0..BANKS as u16 {
            table.reset_other(bank).map_err(|source| table.error(source))?;
        }
        Ok(table)
    }

    /// Moves the entries of a bank that no program writes to any more into `taken`, those for what
    /// found it full too.
    pub(super) fn drain(&mut self, bank: u16, taken: &mut Vec<(K, V)>) -> Result<(), ProbeError> {
        self.try_drain(bank, taken).map_err(|source| self.error(source))
    }

    fn try_drain(&mut self, bank: u16, taken: &mut Vec<(K, V)>) -> Result<(), MapError> {
        let keys: Vec<_> = self
            .map
            .keys()
            .filter(|key| key.as_ref().map_or(true, |Raw(key)| key.bank() == bank))
            .collect::<Result<_, _>>()?;
        for key in keys {
            let Raw(value) = self.map.get(&key, 0)?;
            if key.0 == K::other(bank) {
                self.reset_other(bank)?;
            } else {
                self.map.remove(&key)?;
            }
            taken.push((key.0, value));
        }
        Ok(())
    }

    fn reset_other(&mut self, bank: u16) -> Result<(), MapError> {
        self.map.insert(Raw(K::other(bank)), Raw(self.empty), 0)
    }

    fn error(&self, source: MapError) -> ProbeError {
        ProbeError::Map { probe: self.probe, map: self.name, source }
    }
}
