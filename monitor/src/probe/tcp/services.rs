//! What services are called. No input or output here.

use std::{collections::HashMap, net::Ipv6Addr};

use monitor_common::tcp::{NO_SIDE, SERVER, ServiceKey, Traffic};

use crate::sample::Attributes;

/// How many services have series of their own.
const TOP: usize = 50;

/// The name of all others.
const OTHER: &str = "(other)";

/// The attributes of services.
#[derive(Default)]
pub(super) struct Services {
    known: HashMap<ServiceKey, Attributes>,
}

impl Services {
    /// Gives names to services that did something in this tick, the busiest first, as long as there
    /// are names left.
    pub(super) fn meet(&mut self, services: &[(ServiceKey, Traffic)]) {
        let mut unknown: Vec<_> = services
            .iter()
            .map(|(key, traffic)| (without_bank(*key), cost(traffic)))
            .filter(|(key, cost)| *cost > 0 && key.side != NO_SIDE && !self.known.contains_key(key))
            .collect();
        unknown.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
        unknown.truncate(TOP - self.known.len());
        for (key, _) in unknown {
            self.known.insert(key, attributes(&key));
        }
    }

    /// The attributes of a service.
    pub(super) fn attributes(&self, key: &ServiceKey) -> Attributes {
        match self.known.get(&without_bank(*key)) {
            Some(attributes) => attributes.clone(),
            None => other(key),
        }
    }
}

fn without_bank(key: ServiceKey) -> ServiceKey {
    ServiceKey { bank: 0, ..key }
}

/// How much connections to a service matter: the work to open one, and what they carry.
fn cost(traffic: &Traffic) -> u64 {
    const CONNECTION: u64 = 1000;
    let connections = traffic.opened.iter().chain(&traffic.failed).chain(&traffic.active);
    connections.sum::<u64>() * CONNECTION + traffic.bytes.iter().sum::<u64>()
}

fn attributes(key: &ServiceKey) -> Attributes {
    let mut bytes = [0; 16];
    for (bytes, word) in bytes.chunks_exact_mut(4).zip(key.address) {
        bytes.copy_from_slice(&word.to_ne_bytes());
    }
    Attributes::new([
        ("server.address", Ipv6Addr::from(bytes).to_canonical().to_string()),
        ("server.port", key.port.to_string()),
        ("monitor.tcp.role", role(key.side).to_owned()),
    ])
}

fn other(key: &ServiceKey) -> Attributes {
    match key.side {
        NO_SIDE => Attributes::new([("server.address", OTHER)]),
        side => Attributes::new([("server.address", OTHER), ("monitor.tcp.role", role(side))]),
    }
}

/// What a side is called.
pub(super) fn role(side: u16) -> &'static str {
    if side == SERVER as u16 { "server" } else { "client" }
}
