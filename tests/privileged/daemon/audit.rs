//! The self-audit: what is counted agrees with the kernel's counters, and an offset that is wrong is
//! found by the count that it spoils.

use std::{
    net::UdpSocket,
    process::Child,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use monitor_tests::{
    disk::{Fio, Loop},
    serial,
};
use serde_json::Value;

use super::{
    btf::Types,
    program::{Directory, Ended, run},
};

/// Requests to a disk of its own, a thousand a second, until dropped.
pub(crate) struct Requests {
    disk: Loop,
    fio: Child,
}

impl Requests {
    pub(crate) fn start() -> Self {
        let disk = Loop::in_memory(32);
        let args = [
            "--ioengine=psync",
            "--rw=randwrite",
            "--bs=4k",
            "--size=32m",
            "--rate_iops=1000",
            "--time_based",
            "--runtime=300",
        ];
        let fio = Fio { path: &disk.path, args: &args, throttle: None }.start();
        Self { disk, fio }
    }

    /// The name of the disk.
    pub(crate) fn disk(&self) -> &str {
        &self.disk.name
    }
}

impl Drop for Requests {
    fn drop(&mut self) {
        let _ = self.fio.kill();
        let _ = self.fio.wait();
    }
}

/// What `check --audit` says on a kernel with these types, while requests and datagrams are made; with
/// the name of the disk.
fn audit(types: &Types) -> (Ended, Vec<Value>, String) {
    let requests = Requests::start();
    let directory = Directory::new();
    let mut check = types.program(&directory);
    check.args(["check", "--audit", "4s", "--format", "json"]);
    let is_over = AtomicBool::new(false);
    let ended = thread::scope(|scope| {
        scope.spawn(|| send_datagrams(&is_over));
        let ended = run(check);
        is_over.store(true, Relaxed);
        ended
    });
    let json: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let rows = json["audit"].as_array().unwrap_or_else(|| panic!("no audit in {json}")).clone();
    (ended, rows, requests.disk().to_owned())
}

/// Sends about a thousand datagrams a second, to nobody.
fn send_datagrams(is_over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("there are ports");
    let address = socket.local_addr().expect("it has one");
    while !is_over.load(Relaxed) {
        socket.send_to(b"x", address).expect("loopback takes it");
        thread::sleep(Duration::from_millis(1));
    }
}

/// The row of a counter, of a device if it has one.
fn row<'a>(rows: &'a [Value], counter: &str, device: Option<&str>) -> &'a Value {
    rows.iter()
        .find(|row| row["counter"] == counter && row["device"].as_str() == device)
        .unwrap_or_else(|| panic!("no {counter} of {device:?} in {rows:?}"))
}

#[test]
fn counts_agree_with_those_of_the_kernel() {
    let _serial = serial();
    let (ended, rows, disk) = audit(&Types::of_this_kernel());
    for (counter, device) in [
        ("context_switches", None),
        ("process_context_switches", None),
        ("udp_datagrams_sent", None),
        ("writes", Some(&*disk)),
    ] {
        let row = row(&rows, counter, device);
        assert_eq!(row["result"], "agrees", "{row}");
    }
    assert!(rows.iter().all(|row| row["result"] != "deviates"), "{rows:?}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_wrong_offset_is_found_by_the_count_that_it_spoils() {
    let _serial = serial();
    // No request ever seems to have ended whole.
    let types = Types::of_this_kernel().exchange("request", "__data_len", "timeout");
    let (ended, rows, disk) = audit(&types);
    let writes = row(&rows, "writes", Some(&disk));
    assert_eq!((&writes["result"], &writes["measured"]), (&"deviates".into(), &0.into()));
    assert!(writes["reference"].as_u64().is_some_and(|count| count > 100), "{writes}");
    assert_eq!(row(&rows, "context_switches", None)["result"], "agrees");
    assert_eq!(ended.code, Some(1));

    // Nanoseconds instead of switches.
    let types = Types::of_this_kernel().exchange("task_struct", "nvcsw", "utime");
    let (ended, rows, disk) = audit(&types);
    assert_eq!(row(&rows, "process_context_switches", None)["result"], "deviates");
    assert_eq!(row(&rows, "writes", Some(&disk))["result"], "agrees");
    assert_eq!(ended.code, Some(1));
}
