//! Workloads for the tests. A workload does its work, prints `done` with the numbers it has to
//! report, and ends when its input does. One that works in steps prints `done` after each, and
//! begins the next when it reads a line.

mod datagrams;
mod disk;
mod exits;
mod files;
mod grace;
mod memory;
mod names;
mod network;
mod processes;
mod threads;

use std::{
    io::{Read, Write},
    thread,
    time::Duration,
};

use monitor_tests::sys;

fn main() {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let text = |n: usize| args.get(n).map(String::as_str).unwrap_or_default();
    let number = |n: usize| text(n).parse().unwrap_or_else(|_| panic!("no number in {args:?}"));
    let server = || network::Server { address: text(2), port: number(3) };
    match text(0) {
        "tcp-serve" => network::serve(text(1), text(2)),
        "tcp-ask" => network::ask(text(1), server(), [number(4), number(5), number(6)]),
        "tcp-ask-fast" => network::ask_fast(text(1), server(), [number(4), number(5), number(6)]),
        "tcp-later" => network::ask_later(text(1), server(), [number(4), number(5)]),
        "tcp-connect" => network::connect(text(1), server(), number(4)),
        "tcp-fail" => network::fail(text(1), server(), number(4)),
        "tcp-attempt" => network::attempt(text(1), server(), text(4)),
        "tcp-cut" => network::cut_off(text(1), server(), number(4)),
        "tcp-hand-on" => network::hand_on(text(1), server(), number(4)),
        "mptcp-serve" => network::serve_mptcp(text(1), text(2)),
        "mptcp-ask" => network::ask_by_mptcp(text(1), server(), [number(4), number(5), number(6)]),
        "tcp-listen" => network::only_listen(text(1), text(2)),
        "tcp-inherit" => network::inherit(text(1), text(2)),
        "tcp-rename" => network::rename(text(1), server(), number(4)),
        "tcp-reuse" => network::reuse(text(1), server(), number(4)),
        "tcp-burst" => network::burst(text(1), server(), number(4)),
        "udp-serve" => datagrams::serve(text(1), text(2)),
        "udp-ask" => datagrams::ask(text(1), server(), [number(4), number(5)]),
        "udp-cork" => datagrams::corked(text(1), server(), number(4)),
        "udp-fail" => datagrams::fail(text(1), server(), number(4)),
        "dns-serve" => {
            names::serve(text(1), text(2), Duration::from_millis(number(3)), number(4));
        }
        "dns-ask" => names::ask(
            text(1),
            &names::Asking {
                servers: text(2),
                connected: text(3) == "connected",
                times: number(4),
                at_once: number(5),
                patience: Duration::from_millis(number(6)),
            },
        ),
        "dns-cases" => {
            let pause = Duration::from_millis(number(5));
            names::cases(text(1), text(2), text(3), number(4), pause);
        }
        "dns-race" => names::race(text(1), text(2), number(3)),
        "hog" => hog(text(1), text(2), number(3)),
        "ping" => processes::ping(text(1), text(2), text(3), number(4)),
        "pong" => processes::pong(text(1), text(2), text(3), number(4)),
        "sleep" => sleep(text(1), number(2), Duration::from_micros(number(3))),
        "threads" => threads::many(number(1), number(2)),
        "starve" => threads::starve(text(1), number(2), Duration::from_millis(number(3))),
        "leave" => threads::leave(number(1), Duration::from_micros(number(2))),
        "nothing" => {}
        "exec-once" => threads::exec_once(),
        "execs" => threads::execs(number(1), number(2)),
        "exec" => threads::exec_from_another(),
        "forks" => {
            join(text(3));
            processes::forks(number(1), Duration::from_micros(number(2)));
        }
        "exits" => exits::codes(number(1)),
        "exits-threads" => exits::threads(number(1)),
        "files" => files::open(number(1)),
        "grace" => grace::wait(number(1), text(2)),
        "storm" => processes::storm(Duration::from_secs(number(1)), number(2)),
        "names" => processes::names(number(1)),
        "faults" => memory::faults(number(1) as usize),
        "fault-moves" => memory::fault_moves(number(1) as usize),
        "fault-times" => memory::fault_times(number(1) as usize, text(2)),
        "cache" => memory::cache(text(1), number(2) as usize),
        "compact" => memory::compact(number(1)),
        "oom" => memory::oom(text(1), number(2) as usize),
        "reuse" => processes::reuse(number(1)),
        "probe" => probe(),
        "disk-sync" => disk::sync(text(1), number(2), number(3)),
        mode => panic!("no workload is called {mode:?}"),
    }
}

/// Reports, and waits for the end of the input.
fn done(numbers: &[u64]) {
    report(numbers);
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Reports that a step is done, and waits for the line that begins the next.
fn step_done() {
    report(&[]);
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn report(numbers: &[u64]) {
    let numbers: String = numbers.iter().map(|number| format!(" {number}")).collect();
    // Nobody listens when the test has failed.
    let _ = writeln!(std::io::stdout(), "done{numbers}");
}

/// Binds this thread to a CPU, if one is named.
fn pin(cpu: &str) {
    if let Ok(cpu) = cpu.parse() {
        sys::pin(cpu);
    }
}

/// Moves this process to a cgroup, if one is named.
fn join(cgroup: &str) {
    if !["", "-"].contains(&cgroup) {
        let path = format!("{cgroup}/cgroup.procs");
        std::fs::write(&path, "0").unwrap_or_else(|error| panic!("cannot join {path}: {error}"));
    }
}

/// Uses CPU time and does nothing else.
fn hog(cpu: &str, cgroup: &str, milliseconds: u64) {
    pin(cpu);
    join(cgroup);
    sys::burn(Duration::from_millis(milliseconds));
    done(&[]);
}

/// Hardly does anything, again and again.
fn sleep(cpu: &str, times: u64, time: Duration) {
    pin(cpu);
    for _ in 0..times {
        thread::sleep(time);
    }
    done(&[]);
}

/// Loads the probe and lets it run.
fn probe() {
    let recorder = monitor_tests::Recorder::start(&monitor_tests::kernel());
    recorder.settle();
    done(&[]);
}
