//! What the `net` probe reports of datagrams and of DNS queries, against `nstat`, the processes'
//! own clocks and servers that take a known time, over a link between two network namespaces.

use std::{
    thread,
    time::{Duration, Instant},
};

use monitor::metric::{
    DNS_LATENCY, DNS_QUERIES, DNS_TIMEOUTS, MetricDesc, PROCESS_DNS_LATENCY, PROCESS_DNS_QUERIES,
    PROCESS_DNS_TIMEOUTS, PROCESS_UDP_DATAGRAMS, PROCESS_UDP_IO,
};
use monitor_tests::{
    Collected, Collector, Hist, Workload, is_attached, kernel,
    network::{End, Network},
    serial,
};

const SERVER: &str = "mt-server";
const CLIENT: &str = "mt-client";

/// How long a resolver takes to answer, in milliseconds.
const DELAY_MS: u64 = 40;

/// A resolver at the far end that answers after a time, but for every `dropped`th query.
fn resolver(network: &Network, address: &str, delay_ms: u64, dropped: u64) -> Workload {
    let (delay, dropped) = (delay_ms.to_string(), dropped.to_string());
    let args = ["dns-serve", network.name(End::Far), address, &delay, &dropped];
    let resolver = Workload::start(SERVER, args);
    resolver.done();
    resolver
}

/// A process at the near end that asks a resolver: by what socket, how often, how many queries at
/// once, and how long it waits, in milliseconds.
fn asker(name: &str, network: &Network, server: &str, how: [&str; 4]) -> Workload {
    let args = [&["dns-ask", network.name(End::Near), server][..], &how].concat();
    Workload::start(name, args)
}

/// Has one process ask one resolver; returns what its answers took by its own clock, and what was measured.
fn ask(network: &Network, address: &str, dropped: u64, how: [&str; 4]) -> (Vec<u64>, Collected) {
    let collector = Collector::start(&kernel(), "net");
    let resolver = resolver(network, address, DELAY_MS, dropped);
    let client = asker(CLIENT, network, address, how);
    let took = client.done();
    client.end();
    resolver.end();
    let collected = collector.stop();
    check_nothing_lost(&collected);
    (took, collected)
}

/// Transmitted and received.
fn ways(collected: &Collected, metric: &MetricDesc, name: &str) -> [u64; 2] {
    ["transmit", "receive"].map(|way| collected.count(metric, name, &[way]))
}

fn check_nothing_lost(collected: &Collected) {
    assert!(collected.lost.values().all(|&lost| lost == 0), "{:?}", collected.lost);
}

/// What a process's queries took by its own clock, against what was measured: the same number, each in
/// the same bucket but for some at a bound, and nothing before the resolver's time was up.
fn check_latency(name: &str, latency: &Hist, took: &[u64], delay_ms: u64) {
    let own = Hist::of(took);
    let off = latency.sum as f64 / own.sum as f64 - 1.0;
    println!("{name}: {} answers in {} ns, {:+.2} %", own.count(), own.sum, off * 100.0);
    assert_eq!(latency.count(), took.len() as u64, "{name}");
    assert!(off.abs() <= 0.1, "{name}: {} ns for {} ns", latency.sum, own.sum);
    let least = u128::from(delay_ms) * 1_000_000 * took.len() as u128;
    assert!(latency.sum >= least, "{name}: {} ns, and the resolver takes {least}", latency.sum);
    for quantile in [0.1, 0.5, 0.9, 1.0] {
        let [ours, theirs] =
            [latency, &own].map(|hist| hist.quantile_slot(quantile).expect("it is not empty"));
        assert!(ours.abs_diff(theirs) <= 1, "{name}: {quantile}-quantile in {ours}, not {theirs}");
    }
}

/// Whether messages of sockets are visible here, and so their addresses and ids.
fn sees_addresses() -> bool {
    is_attached("net", "udp_sendmsg")
}

#[test]
fn bytes_and_datagrams() {
    let _serial = serial();
    for (nth, counter) in ["Udp", "Udp6"].into_iter().enumerate() {
        let network = Network::new();
        let address = [network.ipv4(End::Far), network.ipv6(End::Far)][nth];
        let collector = Collector::start(&kernel(), "net");
        let server = Workload::start(SERVER, ["udp-serve", network.name(End::Far), address]);
        let port = server.done()[0].to_string();
        let start = |name, times, bytes| {
            let args = ["udp-ask", network.name(End::Near), address, &port, times, bytes];
            Workload::start(name, args)
        };
        // Datagrams with one byte and with none have no bytes in the answer, and still are datagrams.
        let clients =
            [start(CLIENT, "700", "1200"), start("mt-one", "50", "1"), start("mt-none", "30", "0")];
        for client in clients {
            client.done();
            client.end();
        }
        let counted = [End::Near, End::Far].map(|end| {
            ["OutDatagrams", "InDatagrams"]
                .map(|name| network.counter(end, &format!("{counter}{name}")))
        });
        server.end();
        let collected = collector.stop();
        check_nothing_lost(&collected);
        let io = |name| ways(&collected, &PROCESS_UDP_IO, name);
        let datagrams = |name| ways(&collected, &PROCESS_UDP_DATAGRAMS, name);
        assert_eq!(io(CLIENT), [700 * 1200, 700 * 600]);
        assert_eq!(datagrams(CLIENT), [700, 700]);
        assert_eq!((io("mt-one"), datagrams("mt-one")), ([50, 0], [50, 50]));
        assert_eq!((io("mt-none"), datagrams("mt-none")), ([0, 0], [30, 30]));
        // It looked at each before it received it.
        assert_eq!(io(SERVER), [700 * 600, 700 * 1200 + 50]);
        assert_eq!(datagrams(SERVER), [780, 780]);
        assert_eq!(counted, [[780, 780], [780, 780]], "by nstat");
    }
}

#[test]
fn errors_are_no_datagrams() {
    let _serial = serial();
    let network = Network::new();
    let collector = Collector::start(&kernel(), "net");
    let to = [network.name(End::Near), network.ipv4(End::Far), "9", "10"];
    let client = Workload::start(CLIENT, [&["udp-fail"][..], &to].concat());
    let sent = client.done()[0];
    client.end();
    let counted = network.counter(End::Near, "UdpOutDatagrams");
    let collected = collector.stop();
    check_nothing_lost(&collected);
    assert_eq!(ways(&collected, &PROCESS_UDP_DATAGRAMS, CLIENT), [sent, 0]);
    assert_eq!(ways(&collected, &PROCESS_UDP_IO, CLIENT), [sent * 100, 0]);
    assert_eq!(sent, counted, "by nstat");
}

#[test]
fn dns_latency_by_the_clients_clock() {
    let _serial = serial();
    let network = Network::new();
    for address in [network.ipv4(End::Far), network.ipv6(End::Far)] {
        let (took, collected) = ask(&network, address, 0, ["connected", "30", "1", "5000"]);
        let latency = collected.durations(&PROCESS_DNS_LATENCY, CLIENT, &[]);
        assert_eq!(took.len(), 30);
        check_latency(address, &latency, &took, DELAY_MS);
        assert_eq!(collected.count(&PROCESS_DNS_QUERIES, CLIENT, &[]), 30);
        // The same was recorded for the server, and answers are no queries of its own.
        let server = [address, "53"];
        assert_eq!(collected.durations(&DNS_LATENCY, "(host)", &server), latency);
        assert_eq!(collected.count(&DNS_QUERIES, "(host)", &server), 30);
        assert_eq!(collected.count(&PROCESS_DNS_QUERIES, SERVER, &[]), 0);
    }
}

#[test]
fn servers_and_processes_are_told_apart() {
    let _serial = serial();
    let network = Network::new();
    let servers = [(network.ipv4(End::Far), DELAY_MS, "20"), (network.ipv6(End::Far), 15, "33")];
    let collector = Collector::start(&kernel(), "net");
    let resolvers = servers.map(|(address, delay_ms, _)| resolver(&network, address, delay_ms, 0));
    let start = |(name, (address, _, times))| {
        asker(name, &network, address, ["connected", times, "1", "5000"])
    };
    let clients = [("mt-slow", servers[0]), ("mt-fast", servers[1])].map(start);
    let took = clients.each_ref().map(Workload::done);
    clients.into_iter().for_each(Workload::end);
    resolvers.into_iter().for_each(Workload::end);
    let collected = collector.stop();
    check_nothing_lost(&collected);
    for (nth, name) in ["mt-slow", "mt-fast"].into_iter().enumerate() {
        let (address, delay_ms, _) = servers[nth];
        let latency = collected.durations(&PROCESS_DNS_LATENCY, name, &[]);
        check_latency(name, &latency, &took[nth], delay_ms);
        assert_eq!(collected.durations(&DNS_LATENCY, "(host)", &[address, "53"]), latency);
    }
}

#[test]
fn a_lost_query_does_not_shift_those_after_it() {
    let _serial = serial();
    let network = Network::new();
    let address = network.ipv4(End::Far);
    // It waits long enough for a late answer to be no lost one.
    let (took, collected) = ask(&network, address, 3, ["connected", "12", "1", "1000"]);
    assert_eq!(took.len(), 8, "every third question is lost");
    let latency = collected.durations(&PROCESS_DNS_LATENCY, CLIENT, &[]);
    check_latency("answered", &latency, &took, DELAY_MS);
    assert_eq!(collected.count(&PROCESS_DNS_QUERIES, CLIENT, &[]), 12);
    assert_eq!(collected.count(&DNS_QUERIES, "(host)", &[address, "53"]), 12);
}

#[test]
fn several_queries_at_once() {
    let _serial = serial();
    let network = Network::new();
    let how = ["connected", "5", "16", "5000"];
    let (took, collected) = ask(&network, network.ipv4(End::Far), 0, how);
    assert_eq!(took.len(), 5 * 16);
    let latency = collected.durations(&PROCESS_DNS_LATENCY, CLIENT, &[]);
    check_latency("at once", &latency, &took, DELAY_MS);
}

#[test]
fn the_resolver_of_the_c_library() {
    let _serial = serial();
    let network = Network::new();
    let address = network.ipv4(End::Far);
    network.resolve_by(End::Near, address, "");
    let collector = Collector::start(&kernel(), "net");
    let resolver = resolver(&network, address, DELAY_MS, 0);
    let begin = Instant::now();
    let said = network.run(End::Near, "getent", &["ahosts", "name.test"]);
    let took = begin.elapsed();
    resolver.end();
    let collected = collector.stop();
    check_nothing_lost(&collected);
    assert!(said.contains("10.9.8.7") && said.contains("fdfd:"), "{said}");
    // It asks for addresses of both families at once.
    let latency = collected.durations(&PROCESS_DNS_LATENCY, "getent", &[]);
    assert_eq!(collected.count(&PROCESS_DNS_QUERIES, "getent", &[]), 2);
    assert_eq!(ways(&collected, &PROCESS_UDP_DATAGRAMS, "getent"), [2, 2]);
    assert_eq!(latency.count(), 2);
    // Neither took less than the resolver takes, nor more than the whole command.
    let least = Duration::from_millis(2 * DELAY_MS).as_nanos();
    let possible = least..=2 * took.as_nanos();
    assert!(possible.contains(&latency.sum), "{} ns is not within {possible:?}", latency.sum);
}

#[test]
fn sockets_that_are_not_connected() {
    let _serial = serial();
    let sees_addresses = sees_addresses();
    println!("addresses are seen: {sees_addresses}");
    let network = Network::new();
    let how = ["unconnected", "20", "1", "5000"];
    let (took, collected) = ask(&network, network.ipv4(End::Far), 0, how);
    assert_eq!(took.len(), 20);
    assert_eq!(ways(&collected, &PROCESS_UDP_DATAGRAMS, CLIENT), [20, 20]);
    let latency = collected.durations(&PROCESS_DNS_LATENCY, CLIENT, &[]);
    let queries = collected.count(&PROCESS_DNS_QUERIES, CLIENT, &[]);
    if sees_addresses {
        assert_eq!(queries, 20);
        check_latency("not connected", &latency, &took, DELAY_MS);
    } else {
        assert_eq!((queries, latency.count()), (0, 0), "as `monitor check` says");
    }
}

/// Until queries that were sent before have timed out, with a tick of the probe.
fn wait_for_timeouts() {
    thread::sleep(Duration::from_millis(5500));
}

/// Queries, latencies, timeouts and responses of a client in one of the cases of the workload.
fn case(kind: &str, times: &str, pause_ms: &str) -> (Vec<u64>, Collected, [u64; 4]) {
    let network = Network::new();
    let address = network.ipv4(End::Far);
    let collector = Collector::start(&kernel(), "net");
    let resolver = resolver(&network, address, DELAY_MS, 0);
    let args = ["dns-cases", network.name(End::Near), address, kind, times, pause_ms];
    let client = Workload::start(CLIENT, args);
    let took = client.done();
    client.end();
    wait_for_timeouts();
    resolver.end();
    let collected = collector.stop();
    check_nothing_lost(&collected);
    let count = |metric| collected.count(metric, CLIENT, &[]);
    let timeouts = count(&PROCESS_DNS_TIMEOUTS);
    assert_eq!(collected.count(&DNS_TIMEOUTS, "(host)", &[address, "53"]), timeouts);
    let answers = collected.durations(&PROCESS_DNS_LATENCY, CLIENT, &[]).count();
    let [_, received] = ways(&collected, &PROCESS_UDP_DATAGRAMS, CLIENT);
    let counts = [count(&PROCESS_DNS_QUERIES), answers, timeouts, received];
    (took, collected, counts)
}

#[test]
fn duplicated_response_does_not_match_a_lost_query() {
    let _serial = serial();
    let (took, collected, counts) = case("twice", "3", "5500");
    assert_eq!(counts, [6, 3, 3, 6]);
    let latency = collected.durations(&PROCESS_DNS_LATENCY, CLIENT, &[]);
    check_latency("after a lost query", &latency, &took, DELAY_MS);
}

#[test]
fn queries_of_closed_sockets_time_out() {
    let _serial = serial();
    // Each is sent twice.
    let (_, _, counts) = case("lost", "3", "0");
    assert_eq!(counts, [6, 0, 6, 0]);
}

#[test]
fn response_with_another_id_is_not_matched() {
    let _serial = serial();
    if !sees_addresses() {
        println!("ids are not visible: skipped");
        return;
    }
    let (took, collected, counts) = case("misled", "5", "0");
    assert_eq!(counts, [10, 5, 5, 10]);
    let latency = collected.durations(&PROCESS_DNS_LATENCY, CLIENT, &[]);
    check_latency("misled", &latency, &took, DELAY_MS);
}

#[test]
fn timeouts_of_the_c_library() {
    let _serial = serial();
    let network = Network::new();
    let address = network.ipv4(End::Far);
    network.resolve_by(End::Near, address, "timeout:1 attempts:3");
    let collector = Collector::start(&kernel(), "net");
    // It drops every query.
    let resolver = resolver(&network, address, DELAY_MS, 1);
    network.run(End::Near, "sh", &["-c", "! getent ahosts name.test"]);
    wait_for_timeouts();
    resolver.end();
    let sent = network.counter(End::Near, "UdpOutDatagrams");
    let collected = collector.stop();
    check_nothing_lost(&collected);
    assert!(sent >= 6, "two queries, three times: {sent} by nstat");
    let counts = [&PROCESS_DNS_QUERIES, &PROCESS_DNS_TIMEOUTS]
        .map(|metric| collected.count(metric, "getent", &[]));
    assert_eq!(counts, [sent; 2], "by nstat");
    assert_eq!(collected.durations(&PROCESS_DNS_LATENCY, "getent", &[]).count(), 0);
}

#[test]
fn corked_datagrams_count_once() {
    let _serial = serial();
    let network = Network::new();
    for address in [network.ipv4(End::Far), network.ipv6(End::Far)] {
        let collector = Collector::start(&kernel(), "net");
        let server = Workload::start(SERVER, ["udp-serve", network.name(End::Far), address]);
        let port = server.done()[0].to_string();
        let args = ["udp-cork", network.name(End::Near), address, &port, "20"];
        let client = Workload::start(CLIENT, args);
        client.done();
        client.end();
        server.end();
        let collected = collector.stop();
        check_nothing_lost(&collected);
        assert_eq!(ways(&collected, &PROCESS_UDP_DATAGRAMS, CLIENT), [40, 40], "{address}");
        assert_eq!(ways(&collected, &PROCESS_UDP_IO, CLIENT), [40 * 100, 40 * 50], "{address}");
    }
    let counted = ["UdpOutDatagrams", "Udp6OutDatagrams"];
    assert_eq!(counted.map(|name| network.counter(End::Near, name)), [40; 2], "by nstat");
}
