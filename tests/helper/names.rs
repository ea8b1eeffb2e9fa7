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

/// The port of servers of names.
const PORT: u16 = 53;

/// A question for the address of `name.test`.
const QUESTION: &[u8] = b"\x12\x34\x01\x00\0\x01\0\0\0\0\0\0\x04name\x04test\0\0\x01\0\x01";

/// Answers each question after a time, but for every `dropped`th.
pub(super) fn serve(namespace: &str, address: &str, delay: Duration, dropped: u64) {
    sys::enter_network(namespace);
    let address: IpAddr = address.parse().expect("an address");
    let socket = UdpSocket::bind((address, PORT)).expect("nobody else has this port");
    let answering = socket.try_clone().expect("one more descriptor");
    let (asked, questions) = mpsc::channel::<(Instant, Vec<u8>, SocketAddr)>();
    thread::spawn(move || {
        for (due, answer, to) in questions {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // Who asked may have given up.
            let _ = answering.send_to(&answer, to);
        }
    });
    thread::spawn(move || {
        let mut question = [0; 512];
        for number in 1.. {
            let (size, from) = socket.recv_from(&mut question).expect("a question");
            if dropped == 0 || number % dropped != 0 {
                let due = Instant::now() + delay;
                let _ = asked.send((due, answer(&question[..size]), from));
            }
        }
    });
    done(&[]);
}

/// What answers a question for the addresses of a name.
fn answer(question: &[u8]) -> Vec<u8> {
    const HEADER: usize = 12;
    let name = question[HEADER..].iter().position(|&byte| byte == 0).expect("a name");
    let kind = HEADER + name + 1;
    let mut answer = question[..kind + 4].to_vec();
    // An answer that is no error, with one record for one question.
    answer[2..HEADER].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
    let data: &[u8] = if question[kind + 1] == 1 { &[10, 9, 8, 7] } else { &[0xfd; 16] };
    // The name of the question, its kind and class, a minute to live, and the address.
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
    /// How many questions at once, for each server.
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
    for _ in 0..asking.times {
        let mut open = Vec::new();
        for _ in 0..asking.at_once {
            for &server in &servers {
                let sent = if asking.connected {
                    socket.send(QUESTION)
                } else {
                    socket.send_to(QUESTION, server)
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
