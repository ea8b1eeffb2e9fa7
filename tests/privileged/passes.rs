//! Passes over more than a million objects that have nothing to report, after which the kernel
//! interrupts the reader.

use std::fs;

use monitor::metric::PROCESS_TCP_ACTIVE;
use monitor_tests::{
    Collector, Workload, kernel,
    network::{End, Network},
    serial,
};

/// Objects after which the kernel interrupts a pass.
const SILENT: u64 = 1_000_000;

/// Processes with so many open files together, none of them a socket.
fn open_files(total: u64) -> Workload {
    let workload = Workload::start("mt-files", ["files", &total.to_string()]);
    let children = workload.done();
    let open = |pid: &u64| match fs::read_dir(format!("/proc/{pid}/fd")) {
        Ok(files) => files.count() as u64,
        Err(error) => panic!("{pid}: {error}"),
    };
    let really: u64 = children.iter().map(open).sum();
    println!("{really} open files in {} processes", children.len());
    assert!(really > total);
    workload
}

#[test]
fn sockets_behind_a_million_open_files() {
    let _serial = serial();
    let files = open_files(SILENT);
    // A pass goes from the lowest to the highest process id.
    let network = Network::new();
    let address = network.ipv4(End::Far);
    let server = Workload::start("mt-server", ["tcp-serve", network.name(End::Far), address]);
    let port = server.done()[0].to_string();
    let arguments = ["tcp-later", network.name(End::Near), address, &port, "10", "30"];
    let client = Workload::start("mt-client", arguments);
    client.done();
    assert!(files.pid() < server.pid() && server.pid() < client.pid(), "ids were used again");
    let collector = Collector::start(&kernel(), "net");
    collector.wait_for_tick();
    let collected = collector.stop();
    let active = |name, role| collected.level(&PROCESS_TCP_ACTIVE, name, &[role]).most;
    assert_eq!((active("mt-client", "client"), active("mt-server", "server")), (1, 1));
    assert!(collected.lost.values().all(|&lost| lost == 0), "{:?}", collected.lost);
    [client, server, files].into_iter().for_each(Workload::kill);
}
