//! Workloads that ask for names, and one that answers. The first argument is the network namespace to do
//! it in, or a dash for the own.

use std::{
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use monitor_tests::sys;

use crate::{
    datagrams::{connected, unconnected},
    done,
};

/// The port of DNS servers.
const PORT: u16 = 53;

/// A query for the address of `name.test`, behind its id.
const QUESTION: &[u8] = b"\x01\x00\0\x01\0\0\0\0\0\0\x04name\x04test\0\0\x01\0\x01";

/// First bytes of ids of queries that the server does not respond to; responds to twice; and responds to
/// after a response with another id.
const LOST: u8 = 0xdd;
const TWICE: u8 = 0xee;
const MISLED: u8 = 0xcc;

/// A query with an id.
fn query(id: [u8; 2]) -> Vec<u8> {
    [&id[..], QUESTION].concat()
}

/// Answers each query after a time, but for every `dropped`th.
pub(super) fn serve(namespace: &str, address: &str, delay: Duration, dropped: u64) {
    sys::enter_network(namespace);
    let address: IpAddr = address.parse().expect("an address");
    let socket = UdpSocket::bind((address, PORT)).expect("nobody else has this port");
    let answering = socket.try_clone().expect("one more descriptor");
    let (asked, questions) = mpsc::channel::<(Instant, Vec<u8>, SocketAddr)>();
    thread::spawn(move || {
        for (due, answer, to) in questions {
            // Who asked may have given up.
            let send = |answer: &[u8]| drop(answering.send_to(answer, to));
            if answer[0] == MISLED {
                send(&[&[0, 0], &answer[2..]].concat());
            }
            thread::sleep(due.saturating_duration_since(Instant::now()));
            send(&answer);
            if answer[0] == TWICE {
                send(&answer);
            }
        }
    });
    thread::spawn(move || {
        let mut question = [0; 512];
        for number in 1.. {
            let (size, from) = socket.recv_from(&mut question).expect("a question");
            if question[0] != LOST && (dropped == 0 || number % dropped != 0) {
                let due = Instant::now() + delay;
                let _ = asked.send((due, answer(&question[..size]), from));
            }
        }
    });
    done(&[]);
}

/// What answers a query for the addresses of a name.
fn answer(question: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    let name = question[HEADER..].iter().position(|&byte| byte == 0).expect("a name");
    let kind = HEADER + name + 1;
    let mut answer = question[..kind + 4].to_vec();
    // An answer that is no error, with one record for one query.
    answer[2..HEADER].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    let data: &[u8] = if question[kind + 1] == 1 { &[10, 9, 8, 7] } else { &[0xfd; 16] };
    // The name of the query, its kind and class, a minute to live, and the address.
    answer.extend([0xc0, HEADER as u8]);
    answer.extend(&question[kind..kind + 4]);
    answer.extend([0, 0, 0, 60, 0, data.len() as u8]);
    answer.extend(data);
    answer
}

/// How to ask.
pub(super) struct Asking<'a> {
    /// Addresses of servers, with commas between them.
    pub(super) servers: &'a str,
    /// Whether by a socket that is connected, which is for one server only.
    pub(super) connected: bool,
    /// How often.
    pub(super) times: u64,
    /// How many queries at once, for each server.
    pub(super) at_once: u64,
    /// How long to wait for an answer.
    pub(super) patience: Duration,
}

/// Asks by one socket; reports how long each answer took, those that took too long not.
pub(super) fn ask(namespace: &str, asking: &Asking<'_>) {
    sys::enter_network(namespace);
    let addresses = asking.servers.split(',').map(|address| address.parse().expect("an address"));
    let servers: Vec<SocketAddr> =
        addresses.map(|address: IpAddr| (address, PORT).into()).collect();
    let socket = if asking.connected { connected(servers[0]) } else { unconnected(servers[0]) };
    socket.set_read_timeout(Some(asking.patience)).expect("a time");
    let mut took = Vec::new();
    let mut id = 0u16;
    for _ in 0..asking.times {
        let mut open = Vec::new();
        for _ in 0..asking.at_once {
            for &server in &servers {
                id += 1;
                let query = query(id.to_be_bytes());
                let sent = if asking.connected {
                    socket.send(&query)
                } else {
                    socket.send_to(&query, server)
                };
                sent.expect("there is a way");
                open.push((server, Instant::now()));
            }
        }
        while !open.is_empty() {
            let Ok((_, from)) = socket.recv_from(&mut [0; 512]) else { break };
            let now = Instant::now();
            let newest = open.iter().rposition(|(server, _)| *server == from);
            let (_, asked) = open.remove(newest.expect("somebody who was asked"));
            took.push((now - asked).as_nanos() as u64);
        }
    }
    done(&took);
}

/// Sends a query that is lost by each of some sockets, which are closed at once when that is all; else
/// after a pause a query that is responded to as `case` says. Reports how long those responses took.
pub(super) fn cases(namespace: &str, server: &str, case: &str, times: u64, pause: Duration) {
    sys::enter_network(namespace);
    let address: IpAddr = server.parse().expect("an address");
    let sockets: Vec<_> = (0..times).map(|_| connected((address, PORT).into())).collect();
    let send = |socket: &UdpSocket, id| socket.send(&query(id)).expect("there is a way");
    for socket in &sockets {
        send(socket, [LOST, 1]);
    }
    let first = match case {
        "twice" => TWICE,
        "misled" => MISLED,
        _ => {
            // The same query once more.
            for socket in &sockets {
                send(socket, [LOST, 1]);
            }
            drop(sockets);
            return done(&[]);
        }
    };
    thread::sleep(pause);
    let took: Vec<_> = sockets
        .iter()
        .map(|socket| {
            send(socket, [first, 1]);
            let begin = Instant::now();
            let mut took = None;
            for _ in 0..2 {
                let mut response = [0; 512];
                socket.recv(&mut response).expect("a response");
                if response[0] == first {
                    took.get_or_insert(begin.elapsed().as_nanos() as u64);
                }
            }
            took.expect("a response with that id")
        })
        .collect();
    done(&took);
}

/// Sends one query after the other to several servers at once, and waits for the first response; reports
/// how long those took.
pub(super) fn race(namespace: &str, servers: &str, times: u64) {
    sys::enter_network(namespace);
    let addresses: Vec<IpAddr> =
        servers.split(',').map(|address| address.parse().expect("an address")).collect();
    let took: Vec<_> = (0..times)
        .map(|_| {
            let socket = unconnected((addresses[0], PORT).into());
            for &address in &addresses {
                socket.send_to(&query([1, 1]), (address, PORT)).expect("there is a way");
            }
            let begin = Instant::now();
            socket.recv_from(&mut [0; 512]).expect("a response");
            begin.elapsed().as_nanos() as u64
        })
        .collect();
    done(&took);
}
