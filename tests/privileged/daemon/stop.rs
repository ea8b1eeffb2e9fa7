//! However the daemon ends, nothing of it stays.

use std::{collections::BTreeSet, fs, io::Write, net::TcpStream, process::Command, time::Duration};

use monitor_tests::{Workload, serial};
use serde_json::Value;

use super::program::{Daemon, clean, eventually, run};

/// How long an orderly end may take.
const STOP: Duration = Duration::from_secs(2);

/// Kinds of objects in the kernel as `bpftool` calls them, and what `fdinfo` calls their ids.
const KINDS: [(&str, &str); 3] = [("prog", "prog_id"), ("map", "map_id"), ("link", "link_id")];

/// Ids of each kind of object.
type Held = [BTreeSet<u64>; 3];

/// The objects that a process holds, by its open files.
fn held_by(pid: u32) -> Held {
    let files = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("the process runs");
    let mut held = Held::default();
    for file in files.flatten() {
        // It may have been closed by now.
        let info = fs::read_to_string(file.path()).unwrap_or_default();
        for line in info.lines() {
            let Some((name, id)) = line.split_once(':') else { continue };
            for ((_, kind), ids) in KINDS.iter().zip(&mut held) {
                if name == *kind {
                    ids.insert(id.trim().parse().expect("ids are numbers"));
                }
            }
        }
    }
    held
}

/// Those of the objects that are still in the kernel.
fn remaining(held: &Held) -> Vec<Value> {
    let mut remaining = Vec::new();
    for ((kind, _), ids) in KINDS.iter().zip(held) {
        let mut bpftool = clean("bpftool");
        bpftool.args(["--json", kind, "show"]);
        let list: Vec<Value> = serde_json::from_str(&run(bpftool).stdout).expect("it is JSON");
        let is_ours = |object: &Value| object["id"].as_u64().is_some_and(|id| ids.contains(&id));
        remaining.extend(list.into_iter().filter(is_ours));
    }
    remaining
}

/// A daemon, and what it has in the kernel.
fn start(args: &[&str]) -> (Daemon, Held) {
    let daemon = Daemon::start(args.iter().copied());
    let held = held_by(daemon.pid());
    // Six programs and five hooks at least, and the maps between them.
    let counts = held.each_ref().map(BTreeSet::len);
    assert!(counts[0] >= 6 && counts[1] >= 5 && counts[2] >= 5, "too few objects: {held:?}");
    assert!(remaining(&held).len() == counts.iter().sum::<usize>(), "bpftool sees others");
    (daemon, held)
}

/// Fails unless the kernel frees the objects of a daemon that has ended, which it does when nothing
/// can be using them any more.
fn nothing_remains(held: &Held) {
    let gone = eventually(|| remaining(held).is_empty().then_some(()));
    assert!(gone.is_some(), "still in the kernel: {:?}", remaining(held));
}

#[test]
fn signals_end_it_at_once_and_in_order() {
    let _serial = serial();
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let (mut daemon, held) = start(&[]);
        let (took, status) = daemon.signal(signal).expect("it ends");
        assert!(status.success() && took < STOP, "signal {signal}: {status} after {took:?}");
        assert!(daemon.log().lines().last().is_some_and(|line| line.ends_with("stopped")));
        nothing_remains(&held);
    }
}

#[test]
fn signals_end_it_under_load_and_with_open_connections() {
    let _serial = serial();
    // Long enough that the signal comes in the middle of a tick.
    let (mut daemon, held) = start(&["--interval", "100ms"]);
    let _hogs = ["mt-hog1", "mt-hog2", "mt-hog3", "mt-hog4"]
        .map(|name| Workload::start(name, ["hog", "-", "-", "60000"]));
    let connect = || TcpStream::connect(daemon.address).expect("it listens");
    let _idle = connect();
    let mut half = connect();
    half.write_all(b"GET /metrics HTTP/1.1\r\n").expect("it reads");
    // Asks, and never reads the answer.
    let mut unread = connect();
    unread.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
    daemon.wait_ticks(3);
    let (took, status) = daemon.signal(libc::SIGTERM).expect("it ends");
    assert!(status.success() && took < STOP, "{status} after {took:?}");
    nothing_remains(&held);
}

#[test]
fn after_a_kill_nothing_stays_and_the_next_one_works() {
    let _serial = serial();
    let (mut daemon, held) = start(&[]);
    let address = daemon.address.to_string();
    let _open = TcpStream::connect(daemon.address).expect("it listens");
    let (_, status) = daemon.signal(libc::SIGKILL).expect("it is killed");
    assert!(!status.success());
    // At once, and at the same address.
    let next = Daemon::start(["--listen", &address]);
    assert_eq!(next.address.to_string(), address);
    assert_eq!(next.get("/ready").status, 200);
    assert_eq!(next.get("/health").json()["probes"][0]["state"], "active");
    nothing_remains(&held);
    assert!(!remaining(&held_by(next.pid())).is_empty());
}

#[test]
fn check_leaves_nothing_behind() {
    let _serial = serial();
    let list = || {
        let output = Command::new("bpftool").args(["--json", "prog", "show"]).output();
        let output = output.expect("it has been found before").stdout;
        let programs: Vec<Value> = serde_json::from_slice(&output).expect("it is JSON");
        let ours = programs.into_iter().filter(|program| program["name"] == "report_tasks");
        ours.filter_map(|program| program["id"].as_u64()).collect::<BTreeSet<_>>()
    };
    let before = list();
    let ended = super::program::monitor(["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let gone = eventually(|| list().is_subset(&before).then_some(()));
    assert!(gone.is_some(), "still in the kernel: {:?}, before {before:?}", list());
}
