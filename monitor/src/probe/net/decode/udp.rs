//! Datagrams, and DNS queries.

use monitor_common::{
    hist::COARSE_SHIFT,
    tcp::{DIRECTIONS, NO_SIDE, RECEIVE, ServiceKey, TRANSMIT},
    udp::Dns,
};

use super::{Services, Snapshot, Sum, add_up};
use crate::{
    event::Among,
    metric::{
        MetricDesc, PROCESS_DNS_LATENCY, PROCESS_DNS_QUERIES, PROCESS_DNS_TIMEOUTS,
        PROCESS_UDP_DATAGRAMS, PROCESS_UDP_IO,
    },
    probe::scratch::Scratch,
    sample::{Attributes, Owner, Sample, Value},
};

/// The metrics of DNS queries: the latency of responses, the number of queries, and of timeouts.
type Metrics = [&'static MetricDesc; 3];

const PROCESSES: Metrics = [&PROCESS_DNS_LATENCY, &PROCESS_DNS_QUERIES, &PROCESS_DNS_TIMEOUTS];
const SERVERS: Metrics = {
    let [latency, queries, timeouts] = PROCESSES;
    [latency.of_host(), queries.of_host(), timeouts.of_host()]
};

/// Decodes that part of snapshots. It keeps what servers are called, and room for a histogram.
pub(super) struct UdpDecoder {
    servers: Services,
    none: Attributes,
    directions: [Attributes; DIRECTIONS],
    /// Which directions are measured. What is not has no samples, zeros neither.
    measured: [bool; DIRECTIONS],
    scratch: Scratch,
}

impl UdpDecoder {
    /// A decoder where datagrams of some directions are measured.
    pub(super) fn new(measured: [bool; DIRECTIONS], directions: [Attributes; DIRECTIONS]) -> Self {
        let none = Attributes::default();
        Self {
            servers: Services::new(false),
            none,
            directions,
            measured,
            scratch: Scratch::default(),
        }
    }

    /// Calls `sink` with every sample of this part.
    pub(super) fn decode(&mut self, snapshot: &Snapshot, sink: &mut dyn FnMut(Sample<'_>)) {
        for (key, datagrams) in &snapshot.datagrams {
            let owner = Owner::from(key);
            let zeros = owner == Owner::Rest;
            for direction in [TRANSMIT, RECEIVE] {
                let attributes = &self.directions[direction];
                for (metric, count) in [
                    (&PROCESS_UDP_IO, datagrams.bytes[direction]),
                    (&PROCESS_UDP_DATAGRAMS, datagrams.datagrams[direction]),
                ] {
                    if self.measured[direction] && (zeros || count > 0) {
                        sink(Sample { metric, owner, attributes, value: Value::Increase(count) });
                    }
                }
            }
            let none = self.none.clone();
            self.dns(&PROCESSES, (owner, &none, zeros), &datagrams.dns, sink);
        }
        let cost = |dns: &Dns| dns.queries + dns.timeouts;
        let servers = snapshot.servers.iter().map(|(key, dns)| (*key, cost(dns)));
        self.servers.meet(servers, (&SERVERS, snapshot.elapsed), sink);
        for (side, attributes, dns) in self.servers.add_up(&snapshot.servers) {
            let zeros = side == NO_SIDE;
            self.dns(&SERVERS, (Owner::Host, &attributes, zeros), &dns, sink);
        }
    }

    /// What a slow answer of a server is among.
    pub(super) fn among(&self, server: &ServiceKey) -> Among {
        self.servers.among(server, [PROCESSES[0], SERVERS[0]])
    }

    fn dns(
        &mut self,
        [latency, queries, timeouts]: &Metrics,
        (owner, attributes, zeros): (Owner, &Attributes, bool),
        dns: &Dns,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        let count = dns.queries;
        if self.measured[TRANSMIT] && (zeros || count > 0) {
            let value = Value::Increase(count);
            sink(Sample { metric: queries, owner, attributes, value });
        }
        let count = dns.timeouts;
        if self.measured == [true; DIRECTIONS] && (zeros || count > 0) {
            let value = Value::Increase(count);
            sink(Sample { metric: timeouts, owner, attributes, value });
        }
        let durations = self.scratch.durations(COARSE_SHIFT, dns.sum_ns, &dns.slots);
        if self.measured == [true; DIRECTIONS] && (zeros || !durations.slots.is_empty()) {
            let value = Value::Histogram(durations);
            sink(Sample { metric: latency, owner, attributes, value });
        }
    }
}

impl Sum for Dns {
    fn add(&mut self, more: &Self) {
        self.queries += more.queries;
        self.timeouts += more.timeouts;
        add_up(&mut self.slots, &more.slots);
        // As in the kernel, see `room`.
        self.sum_ns = self.sum_ns.wrapping_add(more.sum_ns);
    }
}

#[cfg(test)]
mod tests;
