use std::net::UdpSocket;

use super::*;
use crate::host::scratch::Scratch;
use crate::host::tests::{elsewhere, read, value};

#[test]
fn the_columns_are_read() {
    let scratch = Scratch::new("network");
    let head = "Inter-|   Receive          |  Transmit\n face |bytes packets errs |bytes\n";
    scratch.write(
        "proc/1/net/dev",
        &format!(
            "{head}  eth0: 1 2 3 4 5 6 7 8 11 12 13 14 15 16 17 18\n\
             br-0123456789ab:18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        ),
    );
    let mut networks = Networks::new(&elsewhere(&scratch));
    let values = read(&mut networks);
    for (metric, key, received, transmitted) in [
        (&metric::SYSTEM_NETWORK_IO, "network.interface.name", 1.0, 11.0),
        (&metric::SYSTEM_NETWORK_PACKET_COUNT, "system.device", 2.0, 12.0),
        (&metric::SYSTEM_NETWORK_ERRORS, "network.interface.name", 3.0, 13.0),
        (&metric::SYSTEM_NETWORK_PACKET_DROPPED, "network.interface.name", 4.0, 14.0),
    ] {
        for (direction, expected) in [("receive", received), ("transmit", transmitted)] {
            let attributes = format!("{key}=eth0,network.io.direction={direction}");
            assert_eq!(value(&values, metric, &attributes), expected, "{}", metric.name);
        }
    }
    let bridge = "network.interface.name=br-0123456789ab,network.io.direction=receive";
    assert_eq!(value(&values, &metric::SYSTEM_NETWORK_IO, bridge), u64::MAX as f64);

    scratch.write("proc/1/net/dev", head);
    assert!(read(&mut networks).is_empty(), "an interface that is gone is not told of");
}

#[test]
fn what_is_sent_is_counted() {
    let mut networks = Networks::new(&HostPaths::default());
    let attributes = "network.interface.name=lo,network.io.direction=transmit";
    let mut sent = || value(&read(&mut networks), &metric::SYSTEM_NETWORK_IO, attributes);
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = sent();
    for _ in 0..100 {
        sender.send_to(&[0; 1000], receiver.local_addr().unwrap()).unwrap();
    }
    let more = sent() - before;
    assert!(more >= 100.0 * 1028.0, "{more} bytes");
}

#[test]
fn the_interfaces_are_those_of_the_kernel() {
    let values = read(&mut Networks::new(&HostPaths::default()));
    for entry in std::fs::read_dir("/sys/class/net").unwrap().flatten() {
        // Bonding has a file among the interfaces.
        if entry.path().is_dir() {
            let name = entry.file_name().into_string().unwrap();
            let attributes = format!("network.interface.name={name},network.io.direction=receive");
            value(&values, &metric::SYSTEM_NETWORK_IO, &attributes);
        }
    }
}
