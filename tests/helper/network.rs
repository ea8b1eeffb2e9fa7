//! Workloads that talk by TCP. The first argument is the network namespace to do it in.

use std::{
    io::{Read, Write},
    net::{IpAddr, SocketAddr, SocketAddrV4, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use monitor_tests::sys::{
    self,
    socket::{self, Attempt},
};

use crate::{done, step_done};

/// Serves connections until the input ends; reports its port. A request is the number of bytes that
/// follow and the number of bytes that are wanted in return; who wants none of either is cut off.
pub(super) fn serve(namespace: &str, address: &str) {
    let (listener, port) = listen(namespace, address);
    thread::spawn(move || accept(&listener));
    done(&[port]);
}

/// Serves by MPTCP, over IPv4; clients may connect by TCP too.
pub(super) fn serve_mptcp(namespace: &str, address: &str) {
    sys::enter_network(namespace);
    let listener = sys::listen_by_mptcp(address.parse().expect("an IPv4 address"));
    let port = listener.local_addr().expect("it has one").port();
    thread::spawn(move || accept(&listener));
    done(&[port.into()]);
}

/// Listens and accepts nobody.
pub(super) fn only_listen(namespace: &str, address: &str) {
    let (_listener, port) = listen(namespace, address);
    done(&[port]);
}

/// Serves by a child of another name, which inherits the listener.
pub(super) fn inherit(namespace: &str, address: &str) {
    let (listener, port) = listen(namespace, address);
    let child = sys::fork(None, || {
        sys::set_comm("mt-worker");
        accept(&listener);
    });
    let child = child.expect("a child");
    done(&[port]);
    sys::kill(child, libc::SIGKILL);
    sys::reap(child);
}

fn listen(namespace: &str, address: &str) -> (TcpListener, u64) {
    sys::enter_network(namespace);
    let address: IpAddr = address.parse().expect("an address");
    let listener = TcpListener::bind((address, 0)).expect("a free port");
    let port = listener.local_addr().expect("it has one").port();
    (listener, port.into())
}

fn accept(listener: &TcpListener) {
    for stream in listener.incoming() {
        let stream = stream.expect("somebody connected");
        thread::spawn(move || answer(stream));
    }
}

fn answer(mut stream: TcpStream) {
    let mut numbers = [0; 8];
    while stream.read_exact(&mut numbers).is_ok() {
        let number = |n: usize| u32::from_le_bytes(numbers[n..n + 4].try_into().expect("four"));
        let (sent, wanted) = (number(0) as usize, number(4) as usize);
        if (sent, wanted) == (0, 0) {
            return sys::cut_off(&stream);
        }
        let mut bytes = vec![0; sent];
        if stream.read_exact(&mut bytes).is_err() || stream.write_all(&vec![1; wanted]).is_err() {
            return;
        }
    }
}

/// Where a server is.
#[derive(Clone, Copy)]
pub(super) struct Server<'a> {
    pub(super) address: &'a str,
    pub(super) port: u64,
}

impl Server<'_> {
    pub(super) fn at(self) -> SocketAddr {
        let address: IpAddr = self.address.parse().expect("an address");
        (address, self.port as u16).into()
    }

    fn at_ipv4(self) -> SocketAddrV4 {
        let SocketAddr::V4(address) = self.at() else { panic!("{} is no IPv4 address", self.at()) };
        address
    }

    fn connect(self) -> TcpStream {
        TcpStream::connect(self.at()).expect("a server that listens")
    }
}

fn request(mut stream: &TcpStream, sent: u64, wanted: u64) {
    let mut bytes = Vec::from((sent as u32).to_le_bytes());
    bytes.extend((wanted as u32).to_le_bytes());
    bytes.resize(bytes.len() + sent as usize, 0);
    stream.write_all(&bytes).expect("a server that reads");
    stream.read_exact(&mut vec![0; wanted as usize]).expect("a server that answers");
}

/// Makes requests by one connection, which stays open; reports how long it took to connect.
pub(super) fn ask(namespace: &str, server: Server<'_>, [times, sent, wanted]: [u64; 3]) {
    sys::enter_network(namespace);
    let begin = Instant::now();
    let stream = server.connect();
    let took = begin.elapsed();
    for _ in 0..times {
        request(&stream, sent, wanted);
    }
    done(&[took.as_nanos() as u64]);
}

/// Makes requests by an MPTCP connection, which stays open; reports how long it took to connect.
pub(super) fn ask_by_mptcp(namespace: &str, server: Server<'_>, [times, sent, wanted]: [u64; 3]) {
    sys::enter_network(namespace);
    let begin = Instant::now();
    let stream = sys::connect_by_mptcp(server.at_ipv4());
    let took = begin.elapsed();
    (0..times).for_each(|_| request(&stream, sent, wanted));
    done(&[took.as_nanos() as u64]);
}

/// Makes requests by TCP Fast Open, each by a connection of its own and in its first segment. Reports how
/// long each waited for the response.
pub(super) fn ask_fast(namespace: &str, server: Server<'_>, [times, sent, wanted]: [u64; 3]) {
    sys::enter_network(namespace);
    let took = (0..times).map(|_| {
        let begin = Instant::now();
        request(&sys::connect_by_fast_open(server.at_ipv4()), sent, wanted);
        begin.elapsed().as_nanos() as u64
    });
    done(&took.collect::<Vec<_>>());
}

/// Makes some requests, and in a second step some more.
pub(super) fn ask_later(namespace: &str, server: Server<'_>, [times, more]: [u64; 2]) {
    sys::enter_network(namespace);
    let stream = server.connect();
    (0..times).for_each(|_| request(&stream, 1000, 3000));
    step_done();
    (0..more).for_each(|_| request(&stream, 1000, 3000));
    done(&[]);
}

/// Opens connections one after the other; reports how long that took in all.
pub(super) fn connect(namespace: &str, server: Server<'_>, times: u64) {
    sys::enter_network(namespace);
    let mut took = Duration::ZERO;
    for _ in 0..times {
        let begin = Instant::now();
        let stream = server.connect();
        took += begin.elapsed();
        drop(stream);
    }
    done(&[took.as_nanos() as u64]);
}

/// Tries to connect where it cannot; reports the errors.
pub(super) fn fail(namespace: &str, server: Server<'_>, times: u64) {
    sys::enter_network(namespace);
    let errors: Vec<_> = (0..times)
        .filter_map(|_| TcpStream::connect(server.at()).err()?.raw_os_error())
        .map(|error| error as u64)
        .collect();
    done(&errors);
}

/// Tries to connect once, as `how` says; reports the error.
pub(super) fn attempt(namespace: &str, server: Server<'_>, how: &str) {
    sys::enter_network(namespace);
    // What takes the only port.
    let connected = (how == "ports").then(|| server.connect());
    let how = match how {
        "close" => Attempt::NonBlocking,
        "limit" => Attempt::SendTimeout,
        "patience" => Attempt::UserTimeout,
        "signal" => Attempt::Signal,
        _ => Attempt::Plain,
    };
    let error = socket::attempt(server.at(), how);
    drop(connected);
    done(&[error as u64]);
}

/// Has the server cut connections off.
pub(super) fn cut_off(namespace: &str, server: Server<'_>, times: u64) {
    sys::enter_network(namespace);
    for _ in 0..times {
        let mut stream = server.connect();
        request(&stream, 0, 0);
        // It ends by an error.
        let _ = stream.read(&mut [0]);
    }
    done(&[]);
}

/// Makes requests, and has a child of another name make as many by the same connection.
pub(super) fn hand_on(namespace: &str, server: Server<'_>, times: u64) {
    sys::enter_network(namespace);
    let stream = server.connect();
    (0..times).for_each(|_| request(&stream, 1000, 3000));
    let child = sys::fork(None, || {
        sys::set_comm("mt-child");
        (0..times).for_each(|_| request(&stream, 500, 7000));
    });
    let child = child.expect("a child");
    sys::wait_until_ended(child).expect("it is a child");
    sys::reap(child);
    done(&[]);
}

/// Makes requests under one name, and in a second step under another.
pub(super) fn rename(namespace: &str, server: Server<'_>, times: u64) {
    sys::enter_network(namespace);
    let stream = server.connect();
    (0..times).for_each(|_| request(&stream, 1000, 3000));
    step_done();
    sys::set_comm("mt-after");
    (0..times).for_each(|_| request(&stream, 500, 7000));
    done(&[]);
}

/// Has two children make requests by one connection, of which the second has the process id of the first.
pub(super) fn reuse(namespace: &str, server: Server<'_>, times: u64) {
    sys::enter_network(namespace);
    let stream = server.connect();
    let child = |name: &str, sent, wanted| {
        sys::set_comm(name);
        (0..times).for_each(|_| request(&stream, sent, wanted));
    };
    let first = sys::fork(None, || child("mt-first", 1000, 3000)).expect("a child");
    sys::wait_until_ended(first).expect("it is a child");
    sys::reap(first);
    let second = sys::fork(Some(first), || child("mt-second", 500, 7000));
    let second = second.expect("a process id that nobody else has got since");
    sys::wait_until_ended(second).expect("it is a child");
    sys::reap(second);
    done(&[]);
}

/// Hands over that many bytes at once, and waits while the kernel sends them.
pub(super) fn burst(namespace: &str, server: Server<'_>, bytes: u64) {
    sys::enter_network(namespace);
    let stream = server.connect();
    sys::enlarge_send_buffer(&stream, 4 * bytes as i32);
    request(&stream, bytes - 8, 0);
    done(&[]);
}
