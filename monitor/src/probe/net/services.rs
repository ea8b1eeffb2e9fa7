//! What services are called. No input or output here.

use std::{net::Ipv6Addr, time::Duration};

use monitor_common::tcp::{NO_SIDE, SERVER, SIDES, ServiceKey, Traffic};

use super::active::Active;
use crate::{
    event::{Among, SeriesKey},
    metric::MetricDesc,
    sample::{Attributes, Owner, Sample, Value},
    top_k::{self, EVICTED, OTHER, Ranked, TopK},
};

/// How many services have series of their own.
const TOP: usize = 50;

/// What a connection costs in a tick, in bytes that are moved.
pub(super) const CONNECTION: u64 = 1000;

/// A service's side and attributes, and what it has or did.
type Of<T> = (u16, Attributes, T);

/// What a service did, to which that of another can be added.
pub(super) trait Sum: Copy {
    /// Adds it.
    fn add(&mut self, more: &Self);
}

/// The services that have series of their own.
pub(super) struct Services {
    known: TopK<ServiceKey, Attributes>,
    /// Whether it is told on which side of them this host is.
    has_role: bool,
}

impl Services {
    /// None yet.
    pub(super) fn new(has_role: bool) -> Self {
        Self { known: TopK::new(), has_role }
    }

    /// Takes note of what services cost in a tick. The busiest of those without a name get one, as long
    /// as there are some left, and then that of a service which matters far less: `sink` is told that
    /// the series of that one end, which are of `metrics`. The tick took `elapsed`.
    pub(super) fn meet(
        &mut self,
        services: impl Iterator<Item = (ServiceKey, u64)>,
        (metrics, elapsed): (&[&'static MetricDesc], Duration),
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        self.known.scale(top_k::decay(elapsed));
        let mut unknown = Vec::new();
        for (key, cost) in services {
            let (key, cost) = (without_bank(key), cost as f64);
            if let Some(known) = self.known.get_mut(&key) {
                known.cost += cost;
            } else if cost > 0.0 && key.side != NO_SIDE {
                unknown.push((key, cost));
            }
        }
        unknown.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        for (key, cost) in unknown {
            if self.known.len() >= TOP {
                let Some((cheapest, known)) = self.known.remove_cheaper(cost) else { break };
                let becomes = self.unnamed(EVICTED, cheapest.side);
                for metric in metrics {
                    let (owner, attributes) = (Owner::Host, &known.value);
                    sink(Sample { metric, owner, attributes, value: Value::Evicted(&becomes) });
                }
            }
            self.known.insert(key, Ranked { value: self.named(&key), cost });
        }
    }

    /// What services did, with their sides and attributes: each that has a name for itself, and those of
    /// each side together that have none.
    pub(super) fn add_up<T: Sum>(&self, services: &[(ServiceKey, T)]) -> Vec<Of<T>> {
        let mut all = Vec::new();
        let mut unnamed: Vec<Of<T>> = Vec::new();
        for (key, did) in services {
            if let Some(known) = self.known.get(&without_bank(*key)) {
                all.push((key.side, known.value.clone(), *did));
            } else if let Some((.., sum)) = unnamed.iter_mut().find(|(side, ..)| *side == key.side)
            {
                sum.add(did);
            } else {
                unnamed.push((key.side, self.unnamed(OTHER, key.side), *did));
            }
        }
        all.extend(unnamed);
        all
    }

    /// What open connections cost: those to services that have names, and to those that `changed`.
    pub(super) fn costs_of_open(
        &self,
        active: &Active<ServiceKey>,
        changed: &[(ServiceKey, Traffic)],
    ) -> Vec<(ServiceKey, u64)> {
        let named = self.known.iter().map(|(key, _)| *key);
        let unnamed = changed.iter().map(|(key, _)| without_bank(*key));
        let unnamed = unnamed.filter(|key| self.known.get(key).is_none());
        let cost = |key| (key, active.of(&key).iter().sum::<u64>() * CONNECTION);
        named.chain(unnamed).map(cost).collect()
    }

    /// How many connections to services are open: to each that has a name for itself, and to those of
    /// each side together that have none.
    pub(super) fn open(&self, active: &Active<ServiceKey>) -> Vec<Of<[u64; SIDES]>> {
        let named =
            self.known.iter().map(|(key, known)| (key.side, known.value.clone(), active.of(key)));
        let named: Vec<_> = named.collect();
        let unnamed = (0..SIDES).map(|side| {
            let mut open = [0; SIDES];
            let names = named.iter().map(|(.., open)| open[side]).sum::<u64>();
            open[side] = active.sum()[side] - names;
            (side as u16, self.unnamed(OTHER, side as u16), open)
        });
        let rest = (NO_SIDE, self.unnamed(OTHER, NO_SIDE), active.rest());
        let unnamed: Vec<_> = unnamed.chain([rest]).collect();
        [named, unnamed].concat()
    }

    /// What a slow latency is among that a service had in common with a process: the `group`'s series has
    /// no attributes but its own.
    pub(super) fn among(
        &self,
        service: &ServiceKey,
        [group, host]: [&'static MetricDesc; 2],
    ) -> Among {
        let known = self.known.get(&without_bank(*service));
        let attributes = known.map(|known| known.value.clone());
        let attributes = attributes.unwrap_or_else(|| self.unnamed(OTHER, service.side));
        Among {
            subject: self.named(service),
            group: SeriesKey { metric: group, attributes: Attributes::default() },
            host: SeriesKey { metric: host, attributes },
        }
    }

    /// The attributes of what has a name of its own.
    fn named(&self, key: &ServiceKey) -> Attributes {
        let mut bytes = [0; 16];
        for (bytes, word) in bytes.chunks_exact_mut(4).zip(key.address) {
            bytes.copy_from_slice(&word.to_ne_bytes());
        }
        let address = Ipv6Addr::from(bytes).to_canonical().to_string();
        let pairs = [("server.address", address), ("server.port", key.port.to_string())];
        Attributes::new(pairs).with(&self.role(key.side))
    }

    /// The attributes of what has none.
    fn unnamed(&self, name: &str, side: u16) -> Attributes {
        Attributes::new([("server.address", name)]).with(&self.role(side))
    }

    fn role(&self, side: u16) -> Attributes {
        if self.has_role && side != NO_SIDE {
            Attributes::new([("monitor.tcp.role", role(side))])
        } else {
            Attributes::default()
        }
    }
}

/// A service, whichever bank it was recorded in.
pub(super) fn without_bank(key: ServiceKey) -> ServiceKey {
    ServiceKey { bank: 0, ..key }
}

/// What a side is called.
pub(super) fn role(side: u16) -> &'static str {
    if side == SERVER as u16 { "server" } else { "client" }
}
