//! However the daemon ends, nothing of it stays.

use std::{collections::BTreeSet, io::Write, net::TcpStream, time::Duration};

use monitor_tests::{
    Workload,
    objects::{self, Held},
    serial,
};

use super::program::{Daemon, eventually};

/// How long an orderly end may take.
const STOP: Duration = Duration::from_secs(2);

/// A daemon, and what it has in the kernel.
fn start(args: &[&str]) -> (Daemon, Held) {
    let daemon = Daemon::start(args.iter().copied());
    let held = Held::by(daemon.pid());
    // Six programs and five hooks at least, and the maps between them.
    let counts = held.counts();
    assert!(counts[0] >= 6 && counts[1] >= 5 && counts[2] >= 5, "too few objects: {held:?}");
    assert_eq!(held.remaining().len(), counts.iter().sum::<usize>(), "bpftool sees others");
    (daemon, held)
}

/// Fails unless the kernel frees the objects of a daemon that has ended, which it does when nothing
/// can be using them any more.
fn nothing_remains(held: &Held) {
    let gone = eventually(|| held.remaining().is_empty().then_some(()));
    assert!(gone.is_some(), "still in the kernel: {:?}", held.remaining());
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
    assert!(!Held::by(next.pid()).remaining().is_empty());
}

#[test]
fn check_leaves_nothing_behind() {
    let _serial = serial();
    let list = || {
        let programs = objects::present("prog");
        let ours = programs.into_iter().filter(|program| program["name"] == "report_tasks");
        ours.filter_map(|program| program["id"].as_u64()).collect::<BTreeSet<_>>()
    };
    let before = list();
    let ended = super::program::monitor(["check"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let gone = eventually(|| list().is_subset(&before).then_some(()));
    assert!(gone.is_some(), "still in the kernel: {:?}, before {before:?}", list());
}
