//! Devices that are made again under their name.

use std::{fs, net::UdpSocket};

use monitor_tests::{command::run, serial};

use super::{
    clock::{find, series},
    otlp::Receiver,
    program::eventually,
};

/// The interface, and the address behind it.
const NAME: &str = "mt-again";
const PEER: &str = "10.231.79.2:9";

/// An interface on which nothing is sent but what we send.
struct Interface;

impl Interface {
    fn new() -> Self {
        let ip = |args: &str| run("ip", &args.split(' ').collect::<Vec<_>>());
        ip(&format!("link add {NAME} type veth peer name {NAME}-peer"));
        for end in [NAME, &format!("{NAME}-peer")] {
            let off = format!("/proc/sys/net/ipv6/conf/{end}/disable_ipv6");
            fs::write(&off, "1").unwrap_or_else(|error| panic!("{off}: {error}"));
            ip(&format!("link set {end} up"));
        }
        ip(&format!("address add 10.231.79.1/24 dev {NAME}"));
        ip(&format!("neighbour add 10.231.79.2 lladdr 02:00:00:00:00:01 dev {NAME}"));
        Self
    }

    /// Sends so many packets, and says how many the kernel counted since it was made.
    fn send(&self, count: usize) -> u64 {
        let socket = UdpSocket::bind("10.231.79.1:0").expect("the address is ours");
        for _ in 0..count {
            socket.send_to(b"x", PEER).expect("there is a neighbour");
        }
        let path = format!("/sys/class/net/{NAME}/statistics/tx_packets");
        let text = fs::read_to_string(path).expect("it is there");
        text.trim().parse().expect("a number")
    }
}

impl Drop for Interface {
    fn drop(&mut self) {
        run("ip", &["link", "delete", NAME]);
    }
}

#[test]
fn an_interface_that_is_made_again_counts_on() {
    let _serial = serial();
    let receiver = Receiver::start();
    let daemon = receiver.daemon(&["--interval", "200ms"]);
    let mut total = 0;
    for (life, packets) in [40, 15, 5].into_iter().enumerate() {
        let interface = Interface::new();
        total += interface.send(packets);
        let received = |total: u64| {
            let series = series(&receiver);
            let part = format!(r#""transmit", "system.device": "{NAME}""#);
            let sent = find(&series, "system.network.packet.count", &part)?;
            (sent.total() == total as f64).then_some(sent.runs.len())
        };
        let runs = eventually(|| received(total));
        assert_eq!(runs, Some(life + 1), "each is a reset, {total} packets in all");
        drop(interface);
        if life == 1 {
            // The daemon sees that it is gone.
            daemon.wait_ticks(2);
        }
    }
}
