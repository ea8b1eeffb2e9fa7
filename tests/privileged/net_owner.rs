//! Which process the `net` probe charges, and when, against what the workloads sent and received
//! themselves, `ss` and `nstat`. What is exact is measured again where the kernel did not show that a
//! connection was opened, see [`repeatable`].

use monitor::metric::{
    PROCESS_TCP_ACTIVE, PROCESS_TCP_CLOSED, PROCESS_TCP_OPENED, PROCESS_TCP_RETRANSMITS,
    PROCESS_TCP_RTT, TCP_ACTIVE, TCP_CLOSED, TCP_IO, TCP_OPENED,
};
use monitor_tests::{
    Collected, Collector, Level, Workload, kernel,
    network::{End, Network},
    repeatable, serial,
    tcp::{CLIENT, SERVER, check_nothing_lost, client, io, serve, server},
};

/// Connections opened and closed, and those that were open in the last tick and at most.
fn connections(collected: &Collected, name: &str, role: &str) -> [u64; 4] {
    let count = |metric| collected.count(metric, name, &[role]);
    let Level { last, most } = collected.level(&PROCESS_TCP_ACTIVE, name, &[role]);
    [count(&PROCESS_TCP_OPENED), count(&PROCESS_TCP_CLOSED), last, most]
}

#[test]
fn a_renamed_process_is_charged_by_its_new_name() {
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        let address = network.ipv4(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let (server, port) = server(&network, address);
        let client = client("mt-before", "tcp-rename", &network, [address, &port], &["50"]);
        client.done();
        collector.wait_for_tick();
        client.go_on();
        client.done();
        collector.wait_for_tick();
        client.end();
        network.wait_until_closed();
        server.end();
        let collected = collector.stop();
        check_nothing_lost(&collected);
        assert_eq!(io(&collected, "mt-before"), [50 * 1008, 50 * 3000]);
        assert_eq!(io(&collected, "mt-after"), [50 * 508, 50 * 7000]);
        assert_eq!(connections(&collected, "mt-before", "client"), [1, 0, 0, 1]);
        assert_eq!(connections(&collected, "mt-after", "client"), [0, 1, 0, 1]);
    });
}

#[test]
fn a_reused_process_id_is_another_process() {
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        let address = network.ipv6(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let (server, port) = server(&network, address);
        let client = client(CLIENT, "tcp-reuse", &network, [address, &port], &["50"]);
        client.done();
        client.end();
        network.wait_until_closed();
        server.end();
        let collected = collector.stop();
        check_nothing_lost(&collected);
        assert_eq!(io(&collected, CLIENT), [0, 0]);
        assert_eq!(io(&collected, "mt-first"), [50 * 1008, 50 * 3000]);
        assert_eq!(io(&collected, "mt-second"), [50 * 508, 50 * 7000]);
    });
}

#[test]
fn connections_of_an_inherited_listener_are_those_of_who_accepts() {
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        let address = network.ipv4(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let (server, port) = serve(&network, "tcp-inherit", address);
        let to = [address, &port];
        // These end before they are used, this one does not.
        let short = client("mt-short", "tcp-connect", &network, to, &["20"]);
        let long = client("mt-long", "tcp-ask", &network, to, &["10", "992", "5000"]);
        short.done();
        long.done();
        collector.wait_for_tick();
        [short, long].into_iter().for_each(Workload::end);
        network.wait_until_closed();
        let collected = collector.stop();
        server.end();
        check_nothing_lost(&collected);
        let [opened, closed, last, most] = connections(&collected, "mt-worker", "server");
        assert_eq!((opened, closed, last), (21, 21, 0));
        assert!(most >= 1, "the connection that stayed was open");
        let [opened, closed, last, _] = connections(&collected, SERVER, "server");
        assert_eq!((opened, closed, last), (0, 0, 0), "of who listens and does not accept");
        assert_eq!(io(&collected, "mt-worker"), [10 * 5000, 10 * 1000]);
        assert_eq!(io(&collected, SERVER), [0, 0]);
        let service = [address, &port, "server"];
        let count = |metric| collected.count(metric, "(host)", &service);
        assert_eq!((count(&TCP_OPENED), count(&TCP_CLOSED)), (21, 21));
    });
}

#[test]
fn connections_that_nobody_accepts_are_those_of_who_listens() {
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        let address = network.ipv4(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let (server, port) = serve(&network, "tcp-listen", address);
        let client = client(CLIENT, "tcp-connect", &network, [address, &port], &["5"]);
        client.done();
        collector.wait_for_tick();
        client.end();
        server.end();
        network.wait_until_closed();
        let collected = collector.stop();
        check_nothing_lost(&collected);
        assert_eq!(connections(&collected, SERVER, "server"), [5, 5, 0, 5]);
    });
}

/// By TCP Fast Open a process accepts and uses a connection before it is open. Of every second one the server's
/// first answer is dropped, so that it is open a second later.
#[test]
fn fast_open_connections_count_what_the_first_segment_carries() {
    const ANSWER: &str = "tcp flags & (syn | ack) == (syn | ack) numgen inc mod 2 < 1";
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        // Of clients and servers, without cookies, for all listeners.
        for end in [End::Near, End::Far] {
            network.set(end, "net.ipv4.tcp_fastopen=0x607");
        }
        network.drop(End::Near, ANSWER);
        let address = network.ipv4(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let (server, port) = server(&network, address);
        let to = [address, &port];
        let client = client(CLIENT, "tcp-ask-fast", &network, to, &["6", "992", "5000"]);
        let took = client.done();
        client.end();
        network.wait_until_closed();
        server.end();
        let passive = network.counter(End::Far, "TcpExtTCPFastOpenPassive");
        let active = network.counter(End::Near, "TcpExtTCPFastOpenActive");
        let collected = collector.stop();
        check_nothing_lost(&collected);
        println!("fast open: {active} of the client, {passive} of the server, took {took:?} ns");
        assert_eq!(passive, 6, "by nstat");
        assert_eq!(io(&collected, CLIENT), [6 * 1000, 6 * 5000]);
        assert_eq!(io(&collected, SERVER), [6 * 5000, 6 * 1000]);
        assert_eq!(connections(&collected, CLIENT, "client"), [6, 6, 0, 1]);
        assert_eq!(connections(&collected, SERVER, "server"), [6, 6, 0, 1]);
        check_services(&collected, address, &port);
    });
}

#[test]
fn mptcp_connections_are_those_of_the_process_and_not_of_subflows() {
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        network.run(End::Far, "ip", &["mptcp", "limits", "set", "subflows", "2"]);
        network.add_subflow(End::Near, "10.231.77.9");
        let address = network.ipv4(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let (server, port) = serve(&network, "mptcp-serve", address);
        let to = [address, &port];
        let multipath = client("mt-multi", "mptcp-ask", &network, to, &["100", "9992", "5000"]);
        let plain = client("mt-plain", "tcp-ask", &network, to, &["10", "992", "5000"]);
        multipath.done();
        plain.done();
        collector.wait_for_tick();
        let joined = network.counter(End::Near, "MPTcpExtMPJoinSynAckRx");
        let capable = network.counter(End::Near, "MPTcpExtMPCapableSYNACKRX");
        [multipath, plain].into_iter().for_each(Workload::end);
        network.wait_until_closed();
        server.end();
        let collected = collector.stop();
        check_nothing_lost(&collected);
        println!("MPTCP connections: {capable}, joined subflows: {joined}");
        assert_eq!((capable, joined), (1, 1), "by nstat");
        assert_eq!(io(&collected, "mt-multi"), [100 * 10_000, 100 * 5000]);
        assert_eq!(io(&collected, "mt-plain"), [10 * 1000, 10 * 5000]);
        assert_eq!(io(&collected, SERVER), [110 * 5000, 100 * 10_000 + 10 * 1000]);
        assert_eq!(connections(&collected, "mt-multi", "client"), [1, 1, 0, 1]);
        assert_eq!(connections(&collected, "mt-plain", "client"), [1, 1, 0, 1]);
        assert_eq!(connections(&collected, SERVER, "server"), [2, 2, 0, 2]);
        assert_eq!(connections(&collected, SERVER, "client"), [0; 4]);
        check_services(&collected, address, &port);
        let rtt = collected.durations(&PROCESS_TCP_RTT, "mt-multi", &[]);
        assert!(rtt.count() > 0, "the round-trip time of its first subflow");
    });
}

/// The test's network has no services but the one at this address, on both sides. The host may have others.
fn check_services(collected: &Collected, address: &str, port: &str) {
    let of_service = |(metric, name, values): &(&str, String, Vec<String>)| {
        let is_ours = *metric == TCP_IO.name && name == "(host)" && Network::has(&values[0]);
        is_ours && values[..2] != [address.to_owned(), port.to_owned()]
    };
    let others: Vec<_> = collected.counts.iter().filter(|(key, _)| of_service(key)).collect();
    assert!(others.iter().all(|(_, count)| **count == 0), "{others:?}");
}

#[test]
fn an_mptcp_listener_that_is_there_at_the_start() {
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        let address = network.ipv4(End::Far);
        let (server, port) = serve(&network, "mptcp-serve", address);
        let to = [address, &port];
        let before = client("mt-before", "tcp-later", &network, to, &["10", "30"]);
        before.done();
        let collector = Collector::start(&kernel(), "net");
        before.go_on();
        before.done();
        let multipath = client("mt-multi", "mptcp-ask", &network, to, &["20", "992", "5000"]);
        let plain = client("mt-plain", "tcp-ask", &network, to, &["10", "992", "5000"]);
        multipath.done();
        plain.done();
        collector.wait_for_tick();
        [before, multipath, plain].into_iter().for_each(Workload::end);
        network.wait_until_closed();
        server.end();
        let collected = collector.stop();
        check_nothing_lost(&collected);
        assert_eq!(io(&collected, SERVER), [30 * 3000 + 30 * 5000, 30 * 1008 + 30 * 1000]);
        assert_eq!(connections(&collected, SERVER, "server"), [2, 3, 0, 3]);
        assert_eq!(connections(&collected, SERVER, "client"), [0; 4]);
        check_services(&collected, address, &port);
    });
}

#[test]
fn what_a_process_hands_over_counts_at_once() {
    const BYTES: u64 = 200_000;
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        network.slow_down(End::Near, "100kbit");
        let address = network.ipv4(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let (server, port) = server(&network, address);
        let client = client(CLIENT, "tcp-burst", &network, [address, &port], &[&BYTES.to_string()]);
        client.done();
        let collected = collector.stop();
        let sent = network.socket(End::Near).expect("the connection is open").sent;
        client.end();
        server.end();
        check_nothing_lost(&collected);
        println!("handed over: {BYTES}, of which the kernel has sent {sent}");
        assert!(sent < BYTES / 2, "the link is not slow: {sent}");
        assert_eq!(io(&collected, CLIENT)[0], BYTES);
    });
}

#[test]
fn retransmissions_of_a_process_that_only_waits() {
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        let address = network.ipv6(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let (server, port) = server(&network, address);
        network.drop(End::Far, "meta length > 500");
        let client = client(CLIENT, "tcp-burst", &network, [address, &port], &["1000"]);
        client.done();
        // The connection stays, and the process does nothing. Retransmissions come ever more rarely.
        let again = network.wait_for(End::Near, "TcpRetransSegs", 3);
        let collected = collector.stop();
        let then = network.counter(End::Near, "TcpRetransSegs");
        client.end();
        server.end();
        check_nothing_lost(&collected);
        let recorded = collected.count(&PROCESS_TCP_RETRANSMITS, CLIENT, &[]);
        println!("sent again: {recorded} for {again} to {then}");
        assert!((again..=then).contains(&recorded), "{recorded} is not {again} to {then}");
    });
}

#[test]
fn idle_connections_stay_open() {
    let _serial = serial();
    repeatable(|| {
        let network = Network::new();
        let address = network.ipv4(End::Far);
        let (server, port) = server(&network, address);
        let to = [address, &port];
        let adopted = client("mt-adopted", "tcp-ask", &network, to, &["1", "1", "1"]);
        adopted.done();
        let collector = Collector::start(&kernel(), "net");
        let opened = client(CLIENT, "tcp-ask", &network, to, &["1", "1", "1"]);
        opened.done();
        // Ticks in which nothing happens.
        (0..3).for_each(|_| collector.wait_for_tick());
        let collected = collector.stop();
        [adopted, opened].into_iter().for_each(Workload::end);
        server.end();
        check_nothing_lost(&collected);
        assert_eq!(connections(&collected, "mt-adopted", "client"), [0, 0, 1, 1]);
        assert_eq!(connections(&collected, CLIENT, "client"), [1, 0, 1, 1]);
        assert_eq!(connections(&collected, SERVER, "server"), [1, 0, 2, 2]);
        let active = |role| collected.level(&TCP_ACTIVE, "(host)", &[address, &port, role]).last;
        assert_eq!([active("client"), active("server")], [2, 2]);
    });
}

/// A softirq that interrupts a program opens and closes other connections, for which the kernel skips that program.
#[test]
fn connections_that_a_program_is_skipped_for() {
    const SERVERS: u64 = 4;
    const EACH: u64 = 5_000;
    /// In each of them some 10 to 400 runs are skipped.
    const ROUNDS: u32 = 10;
    let _serial = serial();
    let expected = SERVERS * EACH;
    let skipped = (0..ROUNDS).any(|_| {
        let network = Network::new();
        let address = network.ipv4(End::Far);
        let collector = Collector::start(&kernel(), "net");
        let servers: Vec<_> = (0..SERVERS).map(|_| server(&network, address)).collect();
        let clients = servers.iter().map(|(_, port)| {
            client(CLIENT, "tcp-connect", &network, [address, port], &[&EACH.to_string()])
        });
        let clients: Vec<_> = clients.collect();
        clients.iter().for_each(|client| drop(client.done()));
        clients.into_iter().for_each(Workload::end);
        network.wait_until_closed();
        servers.into_iter().for_each(|(server, _)| server.end());
        let collected = collector.stop();
        check_nothing_lost(&collected);
        for (name, role) in [(CLIENT, "client"), (SERVER, "server")] {
            let [opened, closed, last, _] = connections(&collected, name, role);
            // Where this process lacks some, services and other names show where they went.
            let ends = [&PROCESS_TCP_OPENED, &PROCESS_TCP_CLOSED, &TCP_OPENED, &TCP_CLOSED];
            let is_end = |(key, count): &(&(&str, _, _), &u64)| {
                **count > 0 && ends.iter().any(|metric| metric.name == key.0)
            };
            let all: Vec<_> = collected.counts.iter().filter(is_end).collect();
            assert_eq!([opened, closed, last], [expected, expected, 0], "{role}: {all:#?}");
        }
        println!("skipped {} times", collected.skipped_runs);
        collected.skipped_runs > 0
    });
    assert!(skipped, "no program was skipped");
}
