//! Workloads that send and receive by UDP. The first argument is the network namespace to do it in.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::Duration,
};

use monitor_tests::sys::{self, socket};

use crate::{done, network::Server};

/// How long anybody waits for a datagram.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// A socket that is bound to any address of the family, and connected.
pub(super) fn connected(to: SocketAddr) -> UdpSocket {
    let socket = unconnected(to);
    socket.connect(to).expect("there is a way");
    socket
}

/// A socket that is bound to any address of the family.
pub(super) fn unconnected(to: SocketAddr) -> UdpSocket {
    let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time");
    socket
}

/// Answers each datagram with its first half, after a look at it; reports its port.
pub(super) fn serve(namespace: &str, address: &str) {
    sys::enter_network(namespace);
    let address: IpAddr = address.parse().expect("an address");
    let socket = UdpSocket::bind((address, 0)).expect("a free port");
    let port = socket.local_addr().expect("it has one").port();
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        loop {
            let (seen, _) = socket.peek_from(&mut bytes).expect("a datagram");
            let (received, from) = socket.recv_from(&mut bytes).expect("the same");
            assert_eq!(seen, received);
            socket.send_to(&bytes[..received / 2], from).expect("there is a way back");
        }
    });
    done(&[port.into()]);
}

/// Sends datagrams and waits for the answer to each; at last it wants one more when it can get none.
pub(super) fn ask(namespace: &str, server: Server<'_>, [times, bytes]: [u64; 2]) {
    sys::enter_network(namespace);
    let socket = connected(server.at());
    for _ in 0..times {
        socket.send(&vec![1; bytes as usize]).expect("a server");
        socket.recv(&mut [0; 2048]).expect("an answer");
    }
    sys::receive_no_more(&socket);
    assert_eq!(socket.recv(&mut [0; 2048]).expect("an end"), 0);
    done(&[]);
}

/// Sends where nobody listens; reports how often that was no error.
pub(super) fn fail(namespace: &str, server: Server<'_>, times: u64) {
    sys::enter_network(namespace);
    let socket = connected(server.at());
    let sent = (0..times).filter(|_| {
        let sent = socket.send(&[1; 100]).is_ok();
        // An error, which the answer to the last datagram is.
        assert!(socket.recv(&mut [0; 100]).is_err() || !sent);
        sent
    });
    done(&[sent.count() as u64]);
}

/// Sends datagrams in ten pieces each: as many held back by a flag of the calls as by an option of the
/// socket.
pub(super) fn corked(namespace: &str, server: Server<'_>, times: u64) {
    sys::enter_network(namespace);
    let socket = connected(server.at());
    let cork = |value: i32| socket::set(&socket, (libc::IPPROTO_UDP, libc::UDP_CORK), &value);
    let answered = || assert_eq!(socket.recv(&mut [0; 200]).expect("an answer"), 50);
    for _ in 0..times {
        for piece in 1..=10 {
            socket::send(&socket, &[1; 10], if piece < 10 { libc::MSG_MORE } else { 0 });
        }
        answered();
        cork(1);
        for _ in 0..10 {
            socket::send(&socket, &[1; 10], 0);
        }
        cork(0);
        answered();
    }
    done(&[]);
}
