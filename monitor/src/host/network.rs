//! Network interfaces, from the `/proc/<pid>/net/dev` of the host's init.
//!
//! Not by sysinfo: it reads our own network namespace, which in a container is not the host's,
//! opens eight files for each interface, and has no dropped packets.

use std::collections::HashMap;

use super::file::{ProcFile, numbers};
use super::{Emit, Error, HostPaths, Part};
use crate::metric;
use crate::sample::Attributes;

pub(super) struct Networks {
    dev: ProcFile,
    interfaces: HashMap<String, Interface>,
}

struct Interface {
    present: bool,
    /// Received, transmitted.
    directions: [Direction; 2],
}

/// What an interface did in one direction.
struct Direction {
    bytes: u64,
    packets: u64,
    errors: u64,
    dropped: u64,
    attributes: Attributes,
    /// With the interface called a device, as the conventions have it for packets alone.
    device_attributes: Attributes,
}

impl Networks {
    pub(super) fn new(paths: &HostPaths) -> Self {
        Self { dev: ProcFile::new(paths.proc.join("1/net/dev")), interfaces: HashMap::new() }
    }
}

impl Part for Networks {
    fn name(&self) -> &'static str {
        "networks"
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let Self { dev, interfaces } = self;
        interfaces.values_mut().for_each(|interface| interface.present = false);
        for line in dev.read()?.lines().skip(2) {
            let Some((name, columns)) = line.split_once(':') else { continue };
            let name = name.trim_start();
            let interface = match interfaces.get_mut(name) {
                Some(interface) => interface,
                None => interfaces.entry(name.to_owned()).or_insert(Interface::new(name)),
            };
            interface.update(columns);
        }
        interfaces.retain(|_, interface| interface.present);
        Ok(())
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        for did in self.interfaces.values().flat_map(|interface| &interface.directions) {
            let Direction { attributes, device_attributes, .. } = did;
            let packets = did.packets as f64;
            emit.total(&metric::SYSTEM_NETWORK_IO, attributes, did.bytes as f64);
            emit.total(&metric::SYSTEM_NETWORK_PACKET_COUNT, device_attributes, packets);
            emit.total(&metric::SYSTEM_NETWORK_PACKET_DROPPED, attributes, did.dropped as f64);
            emit.total(&metric::SYSTEM_NETWORK_ERRORS, attributes, did.errors as f64);
        }
    }
}

impl Interface {
    fn new(name: &str) -> Self {
        let direction = |direction| {
            let attributes =
                |key| Attributes::new([(key, name), ("network.io.direction", direction)]);
            Direction {
                bytes: 0,
                packets: 0,
                errors: 0,
                dropped: 0,
                attributes: attributes("network.interface.name"),
                device_attributes: attributes("system.device"),
            }
        };
        Self { present: true, directions: [direction("receive"), direction("transmit")] }
    }

    fn update(&mut self, columns: &str) {
        self.present = true;
        let mut columns = numbers(columns);
        for did in &mut self.directions {
            let mut next = || columns.next().unwrap_or(0);
            did.bytes = next();
            did.packets = next();
            did.errors = next();
            did.dropped = next();
            // fifo, frame, compressed and multicast follow.
            columns.nth(3);
        }
    }
}

#[cfg(test)]
mod tests;
