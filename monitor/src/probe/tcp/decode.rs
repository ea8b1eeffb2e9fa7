//! From the raw records of the `tcp` probe to samples. No input or output here.

mod udp;

use std::{ops::AddAssign, time::Duration};

use monitor_common::{
    hist::COARSE_SHIFT,
    key::ProcessKey,
    tcp::{
        ACCEPT, CONNECT, DIRECTIONS, Failure, LATENCIES, Loss, Losses, NO_SIDE, RTT, ServiceKey,
        Traffic,
    },
    udp::{Answers, Datagrams, NAMES},
};

use self::udp::UdpDecoder;
use super::services::{Services, Sum, role};
use crate::{
    event::Among,
    metric::{
        MetricDesc, PROCESS_TCP_ACCEPT_LATENCY, PROCESS_TCP_ACTIVE, PROCESS_TCP_CLOSED,
        PROCESS_TCP_CONNECT_LATENCY, PROCESS_TCP_FAILED, PROCESS_TCP_IO, PROCESS_TCP_OPENED,
        PROCESS_TCP_RESETS, PROCESS_TCP_RETRANSMITS, PROCESS_TCP_RTT, TCP_ACCEPT_LATENCY,
        TCP_ACTIVE, TCP_CLOSED, TCP_CONNECT_LATENCY, TCP_FAILED, TCP_IO, TCP_OPENED, TCP_RESETS,
        TCP_RETRANSMITS, TCP_RTT,
    },
    probe::{ledger::Ledger, room::Room},
    sample::{Attributes, Owner, Sample, Value},
};

/// The raw contents of the maps at the end of one tick.
#[derive(Default)]
pub(super) struct Snapshot {
    /// What the connections of each process did.
    pub(super) processes: Vec<(ProcessKey, Traffic)>,
    /// What the connections to each service did.
    pub(super) services: Vec<(ServiceKey, Traffic)>,
    /// What each process sent, received and asked by UDP.
    pub(super) datagrams: Vec<(ProcessKey, Datagrams)>,
    /// What each server of names was asked.
    pub(super) servers: Vec<(ServiceKey, Answers)>,
    /// Sockets that carry something.
    pub(super) sockets: u64,
    /// What was not measured.
    pub(super) lost: Losses,
    /// How long the tick was.
    pub(super) elapsed: Duration,
}

impl Snapshot {
    /// Makes room for the next.
    pub(super) fn clear(&mut self) {
        self.processes.clear();
        self.services.clear();
        self.datagrams.clear();
        self.servers.clear();
        self.sockets = 0;
        self.lost = Losses::default();
    }
}

/// The metrics of either processes or services.
struct Metrics {
    latencies: [&'static MetricDesc; LATENCIES],
    io: &'static MetricDesc,
    retransmits: &'static MetricDesc,
    resets: &'static MetricDesc,
    active: &'static MetricDesc,
    opened: &'static MetricDesc,
    closed: &'static MetricDesc,
    failed: &'static MetricDesc,
    /// Whether the owner's attributes say on which side it is.
    has_role: bool,
}

impl Metrics {
    fn all(&self) -> Vec<&'static MetricDesc> {
        let counts =
            [self.io, self.retransmits, self.resets, self.opened, self.closed, self.failed];
        [&self.latencies[..], &counts, &[self.active]].concat()
    }
}

static PROCESSES: Metrics = Metrics {
    latencies: {
        let mut latencies = [&PROCESS_TCP_RTT; LATENCIES];
        latencies[CONNECT] = &PROCESS_TCP_CONNECT_LATENCY;
        latencies[ACCEPT] = &PROCESS_TCP_ACCEPT_LATENCY;
        latencies
    },
    io: &PROCESS_TCP_IO,
    retransmits: &PROCESS_TCP_RETRANSMITS,
    resets: &PROCESS_TCP_RESETS,
    active: &PROCESS_TCP_ACTIVE,
    opened: &PROCESS_TCP_OPENED,
    closed: &PROCESS_TCP_CLOSED,
    failed: &PROCESS_TCP_FAILED,
    has_role: false,
};

static SERVICES: Metrics = Metrics {
    latencies: {
        let mut latencies = [&TCP_RTT; LATENCIES];
        latencies[CONNECT] = &TCP_CONNECT_LATENCY;
        latencies[ACCEPT] = &TCP_ACCEPT_LATENCY;
        latencies
    },
    io: &TCP_IO,
    retransmits: &TCP_RETRANSMITS,
    resets: &TCP_RESETS,
    active: &TCP_ACTIVE,
    opened: &TCP_OPENED,
    closed: &TCP_CLOSED,
    failed: &TCP_FAILED,
    has_role: true,
};

const _: () = assert!(CONNECT + ACCEPT + RTT == 3 && LATENCIES == 3);

/// Decodes snapshots. It keeps what services are called, and room for a histogram.
pub(super) struct Decoder {
    services: Services,
    none: Attributes,
    /// By side.
    roles: [Attributes; 2],
    /// By direction.
    directions: [Attributes; 2],
    failures: [Attributes; Failure::COUNT],
    udp: UdpDecoder,
    ledger: Ledger,
    room: Room,
}

impl Decoder {
    /// A decoder where datagrams of these directions are measured.
    pub(super) fn new(measured: [bool; DIRECTIONS]) -> Self {
        let directions = ["transmit", "receive"]
            .map(|direction| Attributes::new([("network.io.direction", direction)]));
        Self {
            services: Services::new(true),
            none: Attributes::default(),
            roles: [0, 1].map(|side| Attributes::new([("monitor.tcp.role", role(side))])),
            udp: UdpDecoder::new(measured, directions.clone()),
            directions,
            failures: Failure::NAMES.map(|error| Attributes::new([("error.type", error)])),
            ledger: Ledger::new(super::NAME, &Loss::NAMES),
            room: Room::default(),
        }
    }

    /// Calls `sink` with every sample of a snapshot.
    pub(super) fn decode(&mut self, snapshot: &Snapshot, sink: &mut dyn FnMut(Sample<'_>)) {
        for (key, traffic) in &snapshot.processes {
            let (owner, none) = (Owner::from(key), self.none.clone());
            let zeros = owner == Owner::Rest;
            self.traffic(&PROCESSES, (owner, &none, zeros), traffic, sink);
        }
        let services = snapshot.services.iter().map(|(key, traffic)| (*key, cost(traffic)));
        self.services.meet(services, (&SERVICES.all(), snapshot.elapsed), sink);
        for (side, attributes, traffic) in self.services.add_up(&snapshot.services) {
            let zeros = side == NO_SIDE;
            self.traffic(&SERVICES, (Owner::Host, &attributes, zeros), &traffic, sink);
        }
        self.udp.decode(snapshot, sink);
        self.ledger.decode(&snapshot.lost, sink);
    }

    /// What a slow latency is among, by its place.
    pub(super) fn among(&self, latency: usize, service: &ServiceKey) -> Option<Among> {
        if latency == NAMES {
            return Some(self.udp.among(service));
        }
        let metric = |metrics: &Metrics| metrics.latencies.get(latency).copied();
        Some(self.services.among(service, [metric(&PROCESSES)?, metric(&SERVICES)?]))
    }

    /// What the connections of `owner` did that have the attributes `common`; with `zeros` for what
    /// did not happen, so that it is told from what is not measured.
    fn traffic(
        &mut self,
        metrics: &Metrics,
        (owner, common, zeros): (Owner, &Attributes, bool),
        traffic: &Traffic,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        let mut count = |metric: &'static MetricDesc, more: &Attributes, value: Value<'static>| {
            if zeros || !matches!(value, Value::Increase(0) | Value::Level(0)) {
                sink(Sample { metric, owner, attributes: &common.with(more), value });
            }
        };
        count(metrics.retransmits, &self.none, Value::Increase(traffic.retransmits));
        for (place, direction) in self.directions.iter().enumerate() {
            count(metrics.io, direction, Value::Increase(traffic.bytes[place]));
            count(metrics.resets, direction, Value::Increase(traffic.resets[place]));
        }
        for (side, role) in self.roles.iter().enumerate() {
            // What no service stands for may be of either side.
            let role = if metrics.has_role && !zeros { &self.none } else { role };
            count(metrics.active, role, Value::Level(traffic.active[side]));
            count(metrics.opened, role, Value::Increase(traffic.opened[side]));
            count(metrics.closed, role, Value::Increase(traffic.closed[side]));
        }
        for (failures, reason) in traffic.failed.iter().zip(&self.failures) {
            count(metrics.failed, reason, Value::Increase(*failures));
        }
        for (latency, metric) in metrics.latencies.into_iter().enumerate() {
            let (sum_ns, slots) = (traffic.sums[latency], &traffic.slots[latency]);
            let durations = self.room.durations(COARSE_SHIFT, sum_ns, slots);
            if !durations.slots.is_empty() {
                let value = Value::Histogram(durations);
                sink(Sample { metric, owner, attributes: common, value });
            }
        }
    }
}

impl Sum for Traffic {
    fn add(&mut self, more: &Self) {
        add_up(&mut self.active, &more.active);
        add_up(&mut self.opened, &more.opened);
        add_up(&mut self.closed, &more.closed);
        add_up(&mut self.failed, &more.failed);
        self.retransmits += more.retransmits;
        add_up(&mut self.resets, &more.resets);
        add_up(&mut self.bytes, &more.bytes);
        add_up(&mut self.sums, &more.sums);
        add_up(self.slots.as_flattened_mut(), more.slots.as_flattened());
    }
}

/// Adds numbers to others at the same places.
pub(super) fn add_up<T: Copy + AddAssign>(sums: &mut [T], more: &[T]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += *more;
    }
}

/// How much connections to a service matter: the work to open one, and what they carry.
fn cost(traffic: &Traffic) -> u64 {
    const CONNECTION: u64 = 1000;
    let connections = traffic.opened.iter().chain(&traffic.failed).chain(&traffic.active);
    connections.sum::<u64>() * CONNECTION + traffic.bytes.iter().sum::<u64>()
}

#[cfg(test)]
mod tests;
