//! Servers and clients of TCP at the ends of a network, and what the probe reports of them.

use monitor::metric::PROCESS_TCP_IO;

use crate::{
    Collected, Workload,
    network::{End, Network},
};

/// The command name of servers.
pub const SERVER: &str = "mt-server";
/// The command name of clients.
pub const CLIENT: &str = "mt-client";

/// A server at the far end, and its port.
pub fn server(network: &Network, address: &str) -> (Workload, String) {
    serve(network, "tcp-serve", address)
}

/// A workload that listens at the far end, and its port.
pub fn serve(network: &Network, mode: &str, address: &str) -> (Workload, String) {
    let server = Workload::start(SERVER, [mode, network.name(End::Far), address]);
    let port = server.done()[0].to_string();
    (server, port)
}

/// A client at the near end of a server at the far end.
pub fn client(
    name: &str,
    mode: &str,
    network: &Network,
    server: [&str; 2],
    args: &[&str],
) -> Workload {
    let all = [&[mode, network.name(End::Near)][..], &server, args].concat();
    Workload::start(name, all)
}

/// Bytes transmitted and received.
pub fn io(collected: &Collected, name: &str) -> [u64; 2] {
    ["transmit", "receive"].map(|way| collected.count(&PROCESS_TCP_IO, name, &[way]))
}

/// Fails if anything was lost.
pub fn check_nothing_lost(collected: &Collected) {
    assert!(collected.lost.values().all(|&lost| lost == 0), "{:?}", collected.lost);
}
