//! Tables with a key for each probe. What is not said is known all the same, so that it is no change when
//! it is said.

use std::{
    collections::BTreeMap,
    fmt::{self, Formatter},
};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, Visitor},
};

use super::{Threshold, file::unknown};
use crate::probe::{PROBES, ProbeDesc};

/// Which probes run by default.
pub(super) fn switches() -> BTreeMap<String, bool> {
    PROBES.iter().map(|probe| (probe.name.to_owned(), probe.is_default)).collect()
}

/// From when on the latencies of probes are events, by default.
pub(super) fn thresholds() -> BTreeMap<String, Threshold> {
    let of = |probe: &ProbeDesc| Some((probe.name.to_owned(), Threshold(probe.slow?)));
    PROBES.iter().filter_map(of).collect()
}

pub(super) fn read_switches<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, bool>, D::Error> {
    from.deserialize_map(Table { what: "probe", values: switches() })
}

pub(super) fn read_thresholds<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Threshold>, D::Error> {
    from.deserialize_map(Table { what: "latency", values: thresholds() })
}

/// A table with a value for each of its keys, which are called `what`.
struct Table<T> {
    what: &'static str,
    values: BTreeMap<String, T>,
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for Table<T> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
        while let Some(name) = map.next_key_seed(&self)? {
            self.values.insert(name, map.next_value()?);
        }
        Ok(self.values)
    }
}

/// Reads a key that is known. An error here has the key's place in the file.
impl<'de, T> DeserializeSeed<'de> for &Table<T> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<String, D::Error> {
        let name = String::deserialize(from)?;
        if self.values.contains_key(&name) {
            Ok(name)
        } else {
            let known = self.values.keys().map(String::as_str);
            Err(D::Error::custom(unknown(self.what, &name, known)))
        }
    }
}
