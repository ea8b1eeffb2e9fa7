//! Raw records of datagrams and queries in, samples out.

use monitor_common::{
    key::ProcessKey,
    tcp::{CLIENT, ServiceKey, Traffic},
    udp::{DNS_PORT, Datagrams, Query},
};

use super::*;
use crate::probe::net::decode::{
    Decoder,
    tests::{decode, key, service},
};

/// Three queries, of which one was answered and one has timed out.
fn dns() -> Dns {
    let mut dns = Dns { queries: 3, timeouts: 1, sum_ns: 8, ..Dns::EMPTY };
    dns.slots[9] = 1;
    dns
}

fn snapshot() -> Snapshot {
    let datagrams = Datagrams { bytes: [3, 4], datagrams: [5, 6], dns: dns() };
    let mut snapshot = Snapshot::default();
    snapshot.datagrams.push((key("ask", 1), datagrams));
    snapshot.datagrams.push((ProcessKey::other(1), Datagrams::EMPTY));
    snapshot.servers.push((service([10, 0, 0, 1], DNS_PORT, CLIENT, 1), dns()));
    snapshot.servers.push((ServiceKey::other(1), Dns::EMPTY));
    snapshot
}

#[test]
fn everything_has_its_metric_and_attributes() {
    let histogram =
        "Histogram(Durations { shift: 2, sum_ns: 8, slots: [(9, 1)], left_behind: false })";
    let empty = "Histogram(Durations { shift: 2, sum_ns: 0, slots: [], left_behind: false })";
    assert_eq!(
        decode(&mut Decoder::new([true; DIRECTIONS]), &snapshot()),
        [
            "process.udp.io 42@7 transmit Increase(3)".to_owned(),
            "process.udp.datagrams 42@7 transmit Increase(5)".to_owned(),
            "process.udp.io 42@7 receive Increase(4)".to_owned(),
            "process.udp.datagrams 42@7 receive Increase(6)".to_owned(),
            "process.dns.queries 42@7  Increase(3)".to_owned(),
            "process.dns.timeouts 42@7  Increase(1)".to_owned(),
            format!("process.dns.latency 42@7  {histogram}"),
            "process.udp.io rest transmit Increase(0)".to_owned(),
            "process.udp.datagrams rest transmit Increase(0)".to_owned(),
            "process.udp.io rest receive Increase(0)".to_owned(),
            "process.udp.datagrams rest receive Increase(0)".to_owned(),
            "process.dns.queries rest  Increase(0)".to_owned(),
            "process.dns.timeouts rest  Increase(0)".to_owned(),
            format!("process.dns.latency rest  {empty}"),
            "dns.queries host 10.0.0.1,53 Increase(3)".to_owned(),
            "dns.timeouts host 10.0.0.1,53 Increase(1)".to_owned(),
            format!("dns.latency host 10.0.0.1,53 {histogram}"),
            "dns.queries host (other) Increase(0)".to_owned(),
            "dns.timeouts host (other) Increase(0)".to_owned(),
            format!("dns.latency host (other) {empty}"),
        ]
    );
}

#[test]
fn each_attempt_of_a_query_times_out() {
    let mut query = Query { process: key("ask", 0), ..Query::EMPTY };
    for (place, last) in [(0, 1), (7, 2)] {
        query.attempts[place].stamp = 1;
        query.attempts[place].server = service([10, 0, 0, last], DNS_PORT, CLIENT, 0).address;
    }
    let mut snapshot = Snapshot::default();
    snapshot.timed_out(&query);
    let mut samples = decode(&mut Decoder::new([true; DIRECTIONS]), &snapshot);
    samples.retain(|sample| sample.contains("timeouts") && !sample.contains("(other)"));
    samples.sort();
    let process = "process.dns.timeouts 42@7  Increase(1)".to_owned();
    let server = |last| format!("dns.timeouts host 10.0.0.{last},53 Increase(1)");
    assert_eq!(samples, [server(1), server(2), process.clone(), process]);
}

#[test]
fn what_is_not_measured_has_no_zeros() {
    let mut snapshot = snapshot();
    snapshot.datagrams.remove(0);
    snapshot.servers.remove(0);
    let received = decode(&mut Decoder::new([false, true]), &snapshot);
    let zeros = ["process.udp.io rest receive ", "process.udp.datagrams rest receive "];
    assert_eq!(received, zeros.map(|name| format!("{name}Increase(0)")));
    assert!(decode(&mut Decoder::new([false; DIRECTIONS]), &snapshot).is_empty());
}

#[test]
fn the_end_of_a_servers_series_is_no_end_of_a_services() {
    let mut snapshot = Snapshot::default();
    let server = |last| service([10, 0, 0, last], DNS_PORT, CLIENT, 0);
    let mut traffic = Traffic::EMPTY;
    traffic.bytes[TRANSMIT] = 1;
    snapshot.services.push((server(1), traffic));
    snapshot.servers.extend((1..=50).map(|last| (server(last), dns())));
    let mut decoder = Decoder::new([true; DIRECTIONS]);
    decode(&mut decoder, &snapshot);
    let many = Dns { queries: 1000, ..dns() };
    snapshot.servers = vec![(server(51), many)];
    let samples = decode(&mut decoder, &snapshot);
    let mut evicted: Vec<_> = samples.iter().filter(|sample| sample.contains("Evicted")).collect();
    evicted.sort();
    let [latency, queries, timeouts] = evicted[..] else { panic!("{samples:?}") };
    assert!(latency.starts_with("dns.latency host 10.0.0."), "{latency}");
    assert!(queries.starts_with("dns.queries host 10.0.0."), "{queries}");
    assert!(timeouts.starts_with("dns.timeouts host 10.0.0."), "{timeouts}");
    assert!(samples.iter().any(|sample| sample.contains("queries host 10.0.0.51,53 Increase")));
}
