//! The self-audit: what is counted agrees with the kernel's counters, and an offset that is wrong is
//! found by the count that it spoils.

use std::{
    net::UdpSocket,
    process::{Child, Command},
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
    program::{Directory, Ended, monitor, run},
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

/// What `check --audit` says on a kernel with these types, while requests, datagrams and processes are
/// made; with the name of the disk.
fn audit(types: &Types) -> (Ended, Vec<Value>, String) {
    let requests = Requests::start();
    let directory = Directory::new();
    let mut check = types.program(&directory);
    check.args(["check", "--audit", "4s", "--format", "json"]);
    let is_over = AtomicBool::new(false);
    let ended = thread::scope(|scope| {
        scope.spawn(|| exchange_datagrams(&is_over));
        scope.spawn(|| create_processes(&is_over));
        let ended = run(check);
        is_over.store(true, Relaxed);
        ended
    });
    let json: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let rows = json["audit"].as_array().unwrap_or_else(|| panic!("no audit in {json}")).clone();
    (ended, rows, requests.disk().to_owned())
}

/// Sends about a thousand datagrams a second to itself, and receives them.
fn exchange_datagrams(is_over: &AtomicBool) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("there are ports");
    let address = socket.local_addr().expect("it has one");
    while !is_over.load(Relaxed) {
        socket.send_to(b"x", address).expect("loopback takes it");
        socket.recv(&mut [0]).expect("loopback drops nothing");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Creates processes and threads, one after the other, which has page faults too.
fn create_processes(is_over: &AtomicBool) {
    while !is_over.load(Relaxed) {
        Command::new("true").status().expect("there is such a program");
        thread::spawn(|| ()).join().expect("it does nothing");
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
        ("forks", None),
        ("page_faults", None),
        ("udp_datagrams_sent", None),
        ("udp_datagrams_received", None),
        ("writes", Some(&*disk)),
    ] {
        let row = row(&rows, counter, device);
        assert_eq!(row["result"], "agrees", "{row}");
    }
    assert!(rows.iter().all(|row| row["result"] != "deviates"), "{rows:?}");
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_tick_that_takes_longer_than_the_audit_ends_it_nevertheless() {
    let _serial = serial();
    let ended = monitor(["check", "--audit", "1ms", "--format", "json"]);
    let json: Value =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let rows = json["audit"].as_array().unwrap_or_else(|| panic!("no audit in {json}"));
    assert_eq!(row(rows, "context_switches", None)["source"], "/proc/stat");
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

#[test]
fn wrong_offsets_of_ids_and_faults_are_found() {
    let _serial = serial();
    // No task that is created seems to have an id.
    let types = Types::of_this_kernel().exchange("task_struct", "pid", "exit_code");
    let (ended, rows, _) = audit(&types);
    let forks = row(&rows, "forks", None);
    assert_eq!((&forks["result"], &forks["measured"]), (&"deviates".into(), &0.into()));
    assert_eq!(ended.code, Some(1));

    // Nanoseconds instead of faults.
    let types = Types::of_this_kernel().exchange("task_struct", "min_flt", "utime");
    let (ended, rows, _) = audit(&types);
    assert_eq!(row(&rows, "page_faults", None)["result"], "deviates");
    assert_eq!(row(&rows, "forks", None)["result"], "agrees");
    assert_eq!(ended.code, Some(1));

    // Nanoseconds instead of none.
    let types = Types::of_this_kernel().exchange("task_struct", "maj_flt", "utime");
    let (_, rows, _) = audit(&types);
    assert_eq!(row(&rows, "page_faults", None)["result"], "deviates");
}
