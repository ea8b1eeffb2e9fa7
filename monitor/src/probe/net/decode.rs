//! From the raw records of the `net` probe to samples. No input or output here.

mod udp;

use std::{collections::HashMap, hash::Hash, ops::AddAssign, time::Duration};

use monitor_common::{
    hist::{self, COARSE_SHIFT},
    key::ProcessKey,
    tcp::{
        ACCEPT, CONNECT, DIRECTIONS, Failure, Flow, LATENCIES, Loss, Losses, NO_SIDE, RTT, SIDES,
        ServiceKey, Traffic,
    },
    udp::{self as common, Datagrams, Dns, NAMES, Query},
};

use self::udp::UdpDecoder;
use super::{
    active::Active,
    services::{CONNECTION, Services, Sum, role, without_bank},
};
use crate::{
    event::Among,
    metric::{
        MetricDesc, PROCESS_TCP_ACCEPT_LATENCY, PROCESS_TCP_ACTIVE, PROCESS_TCP_CLOSED,
        PROCESS_TCP_CONNECT_LATENCY, PROCESS_TCP_FAILED, PROCESS_TCP_IO, PROCESS_TCP_OPENED,
        PROCESS_TCP_RESETS, PROCESS_TCP_RETRANSMITS, PROCESS_TCP_RTT,
    },
    probe::{ledger::Ledger, scratch::Scratch},
    sample::{Attributes, Owner, Process, Sample, Value},
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
    pub(super) servers: Vec<(ServiceKey, Dns)>,
    /// How many flows were added to these.
    pub(super) flows: u64,
    /// DNS queries that were outstanding.
    pub(super) queries: usize,
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
        self.flows = 0;
        self.queries = 0;
        self.lost = Losses::default();
    }

    /// Adds a DNS query that has timed out.
    pub(super) fn timed_out(&mut self, query: &Query) {
        let dns = Dns { timeouts: 1, ..Dns::EMPTY };
        for attempt in query.attempts.iter().filter(|attempt| attempt.stamp != 0) {
            self.datagrams.push((query.process, Datagrams { dns, ..Datagrams::EMPTY }));
            self.servers.push((common::server(attempt.server), dns));
        }
    }

    /// Adds what single connections moved to their processes and services.
    pub(super) fn add_flows(&mut self, flows: &[Flow]) {
        self.flows = flows.len() as u64;
        let mut processes = Index::of(&self.processes);
        let mut services = Index::of(&self.services);
        // Of two CPUs that began a connection's flow at once, one has left its own empty.
        for flow in flows.iter().filter(|flow| (flow.bytes, flow.retransmits) != ([0; _], 0)) {
            add_flow(processes.entry(flow.owner, &mut self.processes), flow);
            add_flow(services.entry(flow.service, &mut self.services), flow);
        }
    }
}

/// Where keys are in a list.
struct Index<K>(HashMap<K, usize>);

impl<K: Copy + Eq + Hash> Index<K> {
    fn of(list: &[(K, Traffic)]) -> Self {
        Self(list.iter().enumerate().map(|(place, (key, _))| (*key, place)).collect())
    }

    /// The entry of a key, new if there is none.
    fn entry<'a>(&mut self, key: K, list: &'a mut Vec<(K, Traffic)>) -> &'a mut Traffic {
        let place = *self.0.entry(key).or_insert(list.len());
        if place == list.len() {
            list.push((key, Traffic::EMPTY));
        }
        &mut list[place].1
    }
}

/// Adds what a connection moved. It has one round-trip time a tick.
fn add_flow(traffic: &mut Traffic, flow: &Flow) {
    add_up(&mut traffic.bytes, &flow.bytes);
    traffic.retransmits += flow.retransmits;
    if flow.rtt_ns != 0 {
        traffic.sums[RTT] = traffic.sums[RTT].wrapping_add(flow.rtt_ns);
        traffic.slots[RTT][hist::coarse(hist::slot(flow.rtt_ns))] += 1;
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
        let [first, second, third] = PROCESSES.latencies;
        [first.of_host(), second.of_host(), third.of_host()]
    },
    io: PROCESSES.io.of_host(),
    retransmits: PROCESSES.retransmits.of_host(),
    resets: PROCESSES.resets.of_host(),
    active: PROCESSES.active.of_host(),
    opened: PROCESSES.opened.of_host(),
    closed: PROCESSES.closed.of_host(),
    failed: PROCESSES.failed.of_host(),
    has_role: true,
};

const _: () = assert!(CONNECT + ACCEPT + RTT == 3 && LATENCIES == 3);

/// Decodes snapshots. It keeps what services are called, and room for a histogram.
pub(super) struct Decoder {
    services: Services,
    open_of_processes: Active<Process>,
    open_to_services: Active<ServiceKey>,
    none: Attributes,
    /// By side.
    roles: [Attributes; 2],
    /// By direction.
    directions: [Attributes; 2],
    failures: [Attributes; Failure::COUNT],
    udp: UdpDecoder,
    ledger: Ledger,
    scratch: Scratch,
}

impl Decoder {
    /// A decoder where datagrams of these directions are measured.
    pub(super) fn new(measured: [bool; DIRECTIONS]) -> Self {
        let directions = ["transmit", "receive"]
            .map(|direction| Attributes::new([("network.io.direction", direction)]));
        Self {
            services: Services::new(true),
            open_of_processes: Active::new(),
            open_to_services: Active::new(),
            none: Attributes::default(),
            roles: [0, 1].map(|side| Attributes::new([("monitor.tcp.role", role(side))])),
            udp: UdpDecoder::new(measured, directions.clone()),
            directions,
            failures: Failure::NAMES.map(|error| Attributes::new([("error.type", error)])),
            ledger: Ledger::new(super::NAME, &Loss::NAMES),
            scratch: Scratch::default(),
        }
    }

    /// Takes note of the connections that were open before.
    pub(super) fn begin(&mut self, snapshot: &Snapshot) {
        for (key, traffic) in &snapshot.processes {
            let process = Some(Process::from(key)).filter(|_| Owner::from(key) != Owner::Rest);
            self.open_of_processes.change(process, traffic.active);
        }
        for (key, traffic) in &snapshot.services {
            let service = Some(without_bank(*key)).filter(|key| key.side != NO_SIDE);
            self.open_to_services.change(service, traffic.active);
        }
    }

    /// How many connections are open.
    pub(super) fn open(&self) -> u64 {
        let (known, rest) = (self.open_of_processes.sum(), self.open_of_processes.rest());
        known.iter().chain(&rest).sum()
    }

    /// Calls `sink` with every sample of a snapshot.
    pub(super) fn decode(&mut self, snapshot: &Snapshot, sink: &mut dyn FnMut(Sample<'_>)) {
        self.begin(snapshot);
        for (key, traffic) in &snapshot.processes {
            let (owner, none) = (Owner::from(key), self.none.clone());
            let zeros = owner == Owner::Rest;
            self.traffic(&PROCESSES, (owner, &none, zeros), traffic, sink);
        }
        for (process, open) in self.open_of_processes.iter() {
            self.active(&PROCESSES, (Owner::Process(*process), &self.none, false), open, sink);
        }
        let rest = self.open_of_processes.rest();
        self.active(&PROCESSES, (Owner::Rest, &self.none, true), &rest, sink);
        let costs = snapshot.services.iter().map(|(key, traffic)| (*key, cost(traffic)));
        let costs =
            costs.chain(self.services.costs_of_open(&self.open_to_services, &snapshot.services));
        let costs: Vec<_> = costs.collect();
        self.services.meet(costs.into_iter(), (&SERVICES.all(), snapshot.elapsed), sink);
        for (side, attributes, traffic) in self.services.add_up(&snapshot.services) {
            let zeros = side == NO_SIDE;
            self.traffic(&SERVICES, (Owner::Host, &attributes, zeros), &traffic, sink);
        }
        for (side, attributes, open) in self.services.open(&self.open_to_services) {
            let zeros = side == NO_SIDE;
            self.active(&SERVICES, (Owner::Host, &attributes, zeros), &open, sink);
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

    /// How many connections of `owner` are open that have the attributes `common`; with `zeros` as in
    /// [`Self::traffic`].
    fn active(
        &self,
        metrics: &Metrics,
        (owner, common, zeros): (Owner, &Attributes, bool),
        open: &[u64; SIDES],
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        for (role, open) in self.roles(metrics, zeros).into_iter().zip(open) {
            if zeros || *open > 0 {
                let (attributes, value) = (&common.with(role), Value::Level(*open));
                sink(Sample { metric: metrics.active, owner, attributes, value });
            }
        }
    }

    /// The attributes by side that the owner does not have itself: what no service stands for may be of
    /// either side.
    fn roles(&self, metrics: &Metrics, is_rest: bool) -> [&Attributes; SIDES] {
        if metrics.has_role && !is_rest { [&self.none; SIDES] } else { self.roles.each_ref() }
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
            if zeros || !matches!(value, Value::Increase(0)) {
                sink(Sample { metric, owner, attributes: &common.with(more), value });
            }
        };
        count(metrics.retransmits, &self.none, Value::Increase(traffic.retransmits));
        for (place, direction) in self.directions.iter().enumerate() {
            count(metrics.io, direction, Value::Increase(traffic.bytes[place]));
            count(metrics.resets, direction, Value::Increase(traffic.resets[place]));
        }
        for (side, role) in self.roles(metrics, zeros).into_iter().enumerate() {
            count(metrics.opened, role, Value::Increase(traffic.opened[side]));
            count(metrics.closed, role, Value::Increase(traffic.closed[side]));
        }
        for (failures, reason) in traffic.failed.iter().zip(&self.failures) {
            count(metrics.failed, reason, Value::Increase(*failures));
        }
        for (latency, metric) in metrics.latencies.into_iter().enumerate() {
            let (sum_ns, slots) = (traffic.sums[latency], &traffic.slots[latency]);
            let durations = self.scratch.durations(COARSE_SHIFT, sum_ns, slots);
            if !durations.slots.is_empty() {
                let value = Value::Histogram(durations);
                sink(Sample { metric, owner, attributes: common, value });
            }
        }
    }
}

impl Sum for Traffic {
    fn add(&mut self, more: &Self) {
        add_up(&mut self.opened, &more.opened);
        add_up(&mut self.closed, &more.closed);
        add_up(&mut self.failed, &more.failed);
        self.retransmits += more.retransmits;
        add_up(&mut self.resets, &more.resets);
        add_up(&mut self.bytes, &more.bytes);
        for (sum, more) in self.sums.iter_mut().zip(more.sums) {
            // As in the kernel, see `room`.
            *sum = sum.wrapping_add(more);
        }
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
    let connections = traffic.opened.iter().chain(&traffic.failed);
    connections.sum::<u64>() * CONNECTION + traffic.bytes.iter().sum::<u64>()
}

#[cfg(test)]
mod tests;
