//! Taking maps out of a loaded object.

use aya::maps::{Map, MapError};

use super::ProbeError;
use crate::kernel::loader::Object;

/// Takes the map called `map` of a probe.
pub(super) fn take<M: TryFrom<Map, Error = MapError>>(
    object: &mut Object,
    (probe, map): (&'static str, &'static str),
) -> Result<M, ProbeError> {
    let error = |source| ProbeError::Map { probe, map, source };
    let found = object
        .ebpf
        .take_map(map)
        .ok_or_else(|| error(MapError::InvalidName { name: map.to_owned() }))?;
    found.try_into().map_err(error)
}
