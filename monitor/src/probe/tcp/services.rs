//! What services are called. No input or output here.

use std::{collections::HashMap, net::Ipv6Addr};

use monitor_common::tcp::{NO_SIDE, SERVER, ServiceKey, Traffic};

use crate::sample::Attributes;

/// How many services have series of their own.
const TOP: usize = 50;

/// The name of all others.
const OTHER: &str = "(other)";

/// The name of what services counted that had series of their own and lost them.
const RETIRED: &str = "(retired)";

/// What of a service's cost is left after a tick: what it did long ago does not keep its name.
const KEPT: f64 = 0.99;

/// A service gets the name of another when it costs this much more.
const MARGIN: f64 = 2.0;

/// The services that have series of their own.
#[derive(Default)]
pub(super) struct Services {
    known: HashMap<ServiceKey, Known>,
}

struct Known {
    attributes: Attributes,
    cost: f64,
}

/// A service that has no series of its own any more: its attributes, and those that what it counted
/// has from now on.
pub(super) struct Retired {
    pub(super) attributes: Attributes,
    pub(super) becomes: Attributes,
}

impl Services {
    /// Takes note of a tick. The busiest of the services without a name get one, as long as there are
    /// some left, and then that of a service which matters far less.
    pub(super) fn meet(&mut self, services: &[(ServiceKey, Traffic)]) -> Vec<Retired> {
        self.known.values_mut().for_each(|known| known.cost *= KEPT);
        let mut unknown = Vec::new();
        for (key, traffic) in services {
            let (key, cost) = (without_bank(*key), cost(traffic) as f64);
            if let Some(known) = self.known.get_mut(&key) {
                known.cost += cost;
            } else if cost > 0.0 && key.side != NO_SIDE {
                unknown.push((key, cost));
            }
        }
        unknown.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        let mut retired = Vec::new();
        for (key, cost) in unknown {
            if self.known.len() >= TOP {
                let all = self.known.iter();
                let cheapest = all.min_by(|(_, a), (_, b)| a.cost.total_cmp(&b.cost));
                let Some((&cheapest, known)) = cheapest else { break };
                if cost <= MARGIN * known.cost {
                    break;
                }
                let becomes = unnamed(RETIRED, cheapest.side);
                retired.extend(
                    self.known
                        .remove(&cheapest)
                        .map(|known| Retired { attributes: known.attributes, becomes }),
                );
            }
            self.known.insert(key, Known { attributes: attributes(&key), cost });
        }
        retired
    }

    /// The attributes of a service.
    pub(super) fn attributes(&self, key: &ServiceKey) -> Attributes {
        match self.known.get(&without_bank(*key)) {
            Some(known) => known.attributes.clone(),
            None => unnamed(OTHER, key.side),
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

/// The attributes of what has no name of its own.
fn unnamed(name: &str, side: u16) -> Attributes {
    match side {
        NO_SIDE => Attributes::new([("server.address", name)]),
        side => Attributes::new([("server.address", name), ("monitor.tcp.role", role(side))]),
    }
}

/// What a side is called.
pub(super) fn role(side: u16) -> &'static str {
    if side == SERVER as u16 { "server" } else { "client" }
}
