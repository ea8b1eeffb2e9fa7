//! What the `net` probe reports, against `ss`, `nstat` and the processes' own clocks, over a link
//! between two network namespaces.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use monitor::metric::{
    PROCESS_TCP_ACTIVE, PROCESS_TCP_CLOSED, PROCESS_TCP_CONNECT_LATENCY, PROCESS_TCP_FAILED,
    PROCESS_TCP_OPENED, PROCESS_TCP_RESETS, PROCESS_TCP_RETRANSMITS, PROCESS_TCP_RTT,
    TCP_CONNECT_LATENCY, TCP_IO, TCP_RETRANSMITS, TCP_RTT,
};
use monitor_tests::{
    Collector, Workload, kernel,
    network::{End, Network},
    serial, shown,
    tcp::{CLIENT, SERVER, check_nothing_lost, client, io, server},
    truth,
};

/// Why connection attempts fail.
const FAILURES: [&str; 6] =
    ["refused", "timed_out", "unreachable", "aborted", "address_not_available", "_OTHER"];

/// Within a tenth.
fn near(name: &str, value: f64, expected: f64) {
    println!("{name}: {value} for {expected}, {:+.2} %", (value / expected - 1.0) * 100.0);
    assert!((value / expected - 1.0).abs() <= 0.1, "{name}: {value} is not {expected}");
}

/// The mean round-trip time of the only connection at each end by `ss`, until there are no more requests.
fn look_at_rtts(network: &Network, is_over: &AtomicBool) -> [f64; 2] {
    let mut looks = [const { Vec::new() }; 2];
    while !is_over.load(Relaxed) {
        for end in [End::Near, End::Far] {
            looks[end as usize].extend(network.socket(end).map(|socket| socket.rtt_ns));
        }
        thread::sleep(Duration::from_millis(50));
    }
    looks.map(|looks| {
        assert!(looks.len() >= 10, "{} looks say nothing", looks.len());
        looks.iter().sum::<f64>() / looks.len() as f64
    })
}

#[test]
fn bytes_and_round_trips_through_a_slow_link() {
    let _serial = serial();
    let network = Network::new();
    network.slow_down(End::Far, "400kbit");
    let address = network.ipv4(End::Far);
    let collector = Collector::start(&kernel(), "net");
    let (server, port) = server(&network, address);
    let client = client(CLIENT, "tcp-ask", &network, [address, &port], &["150", "100", "1400"]);
    // For as long as there are requests: the first are fast, as they use up what the link saves.
    let is_over = AtomicBool::new(false);
    let rtts = thread::scope(|scope| {
        let looks = scope.spawn(|| look_at_rtts(&network, &is_over));
        client.done();
        is_over.store(true, Relaxed);
        looks.join().expect("ss answers")
    });
    const CONNECTED: &str = "the connection is open until the end";
    let sockets = [End::Near, End::Far].map(|end| network.socket(end).expect(CONNECTED));
    let name = [CLIENT, SERVER];
    client.end();
    let collected = collector.stop();
    server.end();
    check_nothing_lost(&collected);
    for end in [End::Near, End::Far] {
        let (name, socket) = (name[end as usize], sockets[end as usize]);
        let [sent, received] = io(&collected, name);
        truth::within(&format!("{name} sent by ss"), sent as f64, socket.sent as f64);
        truth::within(&format!("{name} received by ss"), received as f64, socket.received as f64);
        let rtt = collected.durations(&PROCESS_TCP_RTT, name, &[]);
        let mean = rtt.sum as f64 / rtt.count() as f64;
        assert!(rtt.count() >= 10, "a round-trip time in each tick, not {}", rtt.count());
        near(&format!("{name} round-trip time by ss"), mean, rtts[end as usize]);
        // The same was recorded for the service.
        let role = ["client", "server"][end as usize];
        let service = collected.durations(&TCP_RTT, "(host)", &[address, &port, role]);
        assert_eq!(service, rtt);
        let ways = ["transmit", "receive"].map(|way| [address, &port, role, way]);
        let service = ways.map(|way| collected.count(&TCP_IO, "(host)", &way));
        assert_eq!(service, [sent, received]);
    }
    assert_eq!(io(&collected, CLIENT), [150 * 108, 150 * 1400], "what was sent, to the byte");
    assert_eq!(io(&collected, SERVER), [150 * 1400, 150 * 108], "what was sent, to the byte");
}

#[test]
fn connect_latency_by_the_clients_clock() {
    let _serial = serial();
    let network = Network::new();
    // A connection takes about 300 bytes: once the first have used up what the link saves, each waits.
    network.slow_down(End::Near, "40kbit");
    let ends = [(CLIENT, "client"), (SERVER, "server")];
    for address in [network.ipv4(End::Far), network.ipv6(End::Far)] {
        let measure = || {
            let collector = Collector::start(&kernel(), "net");
            let (server, port) = server(&network, address);
            let client = client(CLIENT, "tcp-connect", &network, [address, &port], &["40"]);
            let took = client.done()[0];
            client.end();
            network.wait_until_closed();
            server.end();
            let collected = collector.stop();
            check_nothing_lost(&collected);
            (collected, port, took)
        };
        let (collected, port, took) = shown(measure, |(collected, ..)| {
            [&PROCESS_TCP_OPENED, &PROCESS_TCP_CLOSED].iter().all(|metric| {
                ends.iter().all(|(name, role)| collected.count(metric, name, &[role]) == 40)
            })
        });
        let latency = collected.durations(&PROCESS_TCP_CONNECT_LATENCY, CLIENT, &[]);
        assert_eq!(latency.count(), 40);
        assert!(took > 40 * 10_000_000, "the link is not slow: {took} ns");
        near("time to connect", latency.sum as f64, took as f64);
        let service = [address, &port, "client"];
        assert_eq!(collected.durations(&TCP_CONNECT_LATENCY, "(host)", &service), latency);
        for (name, role) in ends {
            let count = |metric| collected.count(metric, name, &[role]);
            assert_eq!((count(&PROCESS_TCP_OPENED), count(&PROCESS_TCP_CLOSED)), (40, 40));
            assert_eq!(collected.level(&PROCESS_TCP_ACTIVE, name, &[role]).last, 0);
        }
    }
}

#[test]
fn retransmissions_on_a_lossy_link() {
    let _serial = serial();
    let network = Network::new();
    let address = network.ipv6(End::Far);
    let collector = Collector::start(&kernel(), "net");
    let (server, port) = server(&network, address);
    // Of data alone, so that each has to be sent again; and never two in a row.
    for end in [End::Near, End::Far] {
        network.drop(end, "meta l4proto tcp meta length > 1000 numgen inc mod 8 == 3");
    }
    let ask = ["60", "20000", "30000"];
    let client = client(CLIENT, "tcp-ask", &network, [address, &port], &ask);
    client.done();
    client.end();
    network.wait_until_closed();
    let again = [End::Near, End::Far].map(|end| network.counter(end, "TcpRetransSegs"));
    let collected = collector.stop();
    server.end();
    check_nothing_lost(&collected);
    let count = |name| collected.count(&PROCESS_TCP_RETRANSMITS, name, &[]);
    let recorded = [CLIENT, SERVER].map(count);
    println!("sent again: {recorded:?} for {again:?}");
    assert!(again.iter().all(|&again| again > 5), "the link is not lossy: {again:?}");
    assert_eq!(recorded, again);
    let service = ["client", "server"]
        .map(|role| collected.count(&TCP_RETRANSMITS, "(host)", &[address, &port, role]));
    assert_eq!(service, again);
}

#[test]
fn an_answer_to_a_first_segment_that_is_sent_again() {
    let _serial = serial();
    let network = Network::new();
    let address = network.ipv4(End::Far);
    let collector = Collector::start(&kernel(), "net");
    let (server, port) = server(&network, address);
    // The first answers to the first segment are lost.
    network.drop(End::Near, "tcp flags & (syn | ack) == (syn | ack) numgen inc mod 3 < 2");
    let client = client(CLIENT, "tcp-ask", &network, [address, &port], &["1", "1", "1"]);
    client.done();
    let again = [End::Near, End::Far].map(|end| network.counter(end, "TcpRetransSegs"));
    client.end();
    let collected = collector.stop();
    server.end();
    check_nothing_lost(&collected);
    let count = |name| collected.count(&PROCESS_TCP_RETRANSMITS, name, &[]);
    println!("sent again: {again:?}");
    assert!(again.iter().sum::<u64>() >= 2, "nothing was lost: {again:?}");
    assert_eq!([CLIENT, SERVER].map(count), again);
}

#[test]
fn refused_and_timed_out() {
    let _serial = serial();
    let network = Network::new();
    network.set(End::Near, "net.ipv4.tcp_syn_retries=1");
    network.drop(End::Far, "tcp dport 7");
    let collector = Collector::start(&kernel(), "net");
    for address in [network.ipv4(End::Far), network.ipv6(End::Far)] {
        let refused = client("mt-refused", "tcp-fail", &network, [address, "9"], &["5"]);
        let late = client("mt-late", "tcp-fail", &network, [address, "7"], &["1"]);
        assert_eq!(refused.done(), [libc::ECONNREFUSED as u64; 5]);
        assert_eq!(late.done(), [libc::ETIMEDOUT as u64]);
        refused.end();
        late.end();
    }
    let collected = collector.stop();
    check_nothing_lost(&collected);
    let failed = |name| {
        let count = |reason| collected.count(&PROCESS_TCP_FAILED, name, &[reason]);
        FAILURES.map(count)
    };
    assert_eq!(failed("mt-refused"), [10, 0, 0, 0, 0, 0]);
    assert_eq!(failed("mt-late"), [0, 2, 0, 0, 0, 0]);
    assert_eq!(collected.count(&PROCESS_TCP_RESETS, "mt-refused", &["receive"]), 10);
    assert_eq!(collected.count(&PROCESS_TCP_OPENED, "mt-refused", &["client"]), 0);
    let again = network.counter(End::Near, "TcpRetransSegs");
    assert_eq!(collected.count(&PROCESS_TCP_RETRANSMITS, "mt-late", &[]), again);
}

#[test]
fn resets() {
    let _serial = serial();
    let network = Network::new();
    let address = network.ipv4(End::Far);
    let collector = Collector::start(&kernel(), "net");
    let (server, port) = server(&network, address);
    let client = client(CLIENT, "tcp-cut", &network, [address, &port], &["25"]);
    client.done();
    client.end();
    let sent = network.counter(End::Far, "TcpOutRsts");
    server.end();
    let collected = collector.stop();
    check_nothing_lost(&collected);
    let resets = |name, way| collected.count(&PROCESS_TCP_RESETS, name, &[way]);
    assert_eq!(sent, 25);
    assert_eq!((resets(SERVER, "transmit"), resets(CLIENT, "receive")), (sent, sent));
    assert_eq!((resets(SERVER, "receive"), resets(CLIENT, "transmit")), (0, 0));
}

#[test]
fn processes_are_told_apart() {
    let _serial = serial();
    let network = Network::new();
    let address = network.ipv4(End::Far);
    let collector = Collector::start(&kernel(), "net");
    let (server, port) = server(&network, address);
    let to = [address, &port];
    let clients = [
        client("mt-one", "tcp-ask", &network, to, &["100", "992", "5000"]),
        client("mt-two", "tcp-ask", &network, to, &["300", "92", "700"]),
        client("mt-parent", "tcp-hand-on", &network, to, &["50"]),
    ];
    for client in &clients {
        client.done();
    }
    // All are still open.
    collector.wait_for_tick();
    clients.into_iter().for_each(Workload::end);
    network.wait_until_closed();
    server.end();
    let collected = collector.stop();
    check_nothing_lost(&collected);
    assert_eq!(io(&collected, "mt-one"), [100_000, 500_000]);
    assert_eq!(io(&collected, "mt-two"), [30_000, 210_000]);
    assert_eq!(io(&collected, "mt-parent"), [50 * 1008, 50 * 3000]);
    // The child made its requests by its parent's connection.
    assert_eq!(io(&collected, "mt-child"), [50 * 508, 50 * 7000]);
    let active = |name, role| collected.level(&PROCESS_TCP_ACTIVE, name, &[role]).most;
    assert_eq!((active("mt-one", "client"), active(SERVER, "server")), (1, 3));
}

#[test]
fn a_connection_that_is_open_at_the_start() {
    let _serial = serial();
    let network = Network::new();
    let address = network.ipv6(End::Far);
    let (server, port) = server(&network, address);
    let client = client(CLIENT, "tcp-later", &network, [address, &port], &["10", "30"]);
    client.done();
    let collector = Collector::start(&kernel(), "net");
    client.go_on();
    client.done();
    // It is still open.
    collector.wait_for_tick();
    client.end();
    network.wait_until_closed();
    server.end();
    let collected = collector.stop();
    check_nothing_lost(&collected);
    for (name, role) in [(CLIENT, "client"), (SERVER, "server")] {
        assert_eq!(collected.count(&PROCESS_TCP_OPENED, name, &[role]), 0);
        assert_eq!(collected.count(&PROCESS_TCP_CLOSED, name, &[role]), 1);
        assert_eq!(collected.level(&PROCESS_TCP_ACTIVE, name, &[role]).most, 1);
        let way = [address, &port, role, "transmit"];
        let service = collected.count(&TCP_IO, "(host)", &way);
        assert_eq!(service, io(&collected, name)[0], "by the service, on the same side");
    }
    assert_eq!(io(&collected, CLIENT), [30 * 1008, 30 * 3000]);
    assert_eq!(io(&collected, SERVER), [30 * 3000, 30 * 1008]);
}

#[test]
fn failed_attempts_by_the_error_of_the_application() {
    let _serial = serial();
    let network = Network::new();
    let (near, far) = (network.ipv4(End::Near), network.ipv4(End::Far));
    network.set(End::Near, "net.ipv4.tcp_syn_retries=1");
    network.set(End::Near, "net.ipv4.neigh.wire.mcast_solicit=1");
    network.drop(End::Far, "tcp dport 7");
    let rejects = [
        (11, "tcp reset"),
        (12, "icmp type port-unreachable"),
        (13, "icmp type host-unreachable"),
        (14, "icmp type net-unreachable"),
        (15, "icmp type admin-prohibited"),
        (16, "icmp type prot-unreachable"),
    ];
    for (port, with) in rejects {
        network.reject(End::Far, port, with);
    }
    let collector = Collector::start(&kernel(), "net");
    let (server, port) = server(&network, far);
    let (port, nobody) = (port.as_str(), "10.231.77.99");
    let cases = [
        ("mt-closed", [far, "9"], "connect", libc::ECONNREFUSED, "refused"),
        ("mt-own", [near, "9"], "connect", libc::ECONNREFUSED, "refused"),
        ("mt-reset", [far, "11"], "connect", libc::ECONNREFUSED, "refused"),
        ("mt-port", [far, "12"], "connect", libc::ECONNREFUSED, "refused"),
        ("mt-host", [far, "13"], "connect", libc::EHOSTUNREACH, "unreachable"),
        ("mt-net", [far, "14"], "connect", libc::ENETUNREACH, "unreachable"),
        ("mt-prohibited", [far, "15"], "connect", libc::EHOSTUNREACH, "unreachable"),
        ("mt-protocol", [far, "16"], "connect", libc::ENOPROTOOPT, "_OTHER"),
        ("mt-nobody", [nobody, "9"], "connect", libc::EHOSTUNREACH, "unreachable"),
        ("mt-late", [far, "7"], "connect", libc::ETIMEDOUT, "timed_out"),
        ("mt-patience", [far, "7"], "patience", libc::ETIMEDOUT, "timed_out"),
        ("mt-close", [far, "7"], "close", libc::EINPROGRESS, "aborted"),
        ("mt-limit", [far, "7"], "limit", libc::EINPROGRESS, "aborted"),
        ("mt-signal", [far, "7"], "signal", libc::EINTR, "aborted"),
        ("mt-ports", [far, port], "ports", libc::EADDRNOTAVAIL, "address_not_available"),
    ];
    for (name, [address, port], how, error, _) in cases {
        if how == "ports" {
            network.set(End::Near, "net.ipv4.ip_local_port_range=40000 40000");
        }
        let attempt = client(name, "tcp-attempt", &network, [address, port], &[how]);
        assert_eq!(attempt.done(), [error as u64], "{name}");
        attempt.end();
    }
    server.end();
    let collected = collector.stop();
    check_nothing_lost(&collected);
    for (name, _, _, _, reason) in cases {
        let count = |reason| (reason, collected.count(&PROCESS_TCP_FAILED, name, &[reason]));
        let expected = FAILURES.map(|failure| (failure, u64::from(failure == reason)));
        assert_eq!(FAILURES.map(count), expected, "{name}");
    }
}
