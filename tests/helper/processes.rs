//! Workloads of several processes.

use std::{
    fs::File,
    io::{Read, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use monitor_tests::{proc::Counters, sys};

/// Sends a byte through one named pipe and waits for the answer in another.
pub(crate) fn ping(cpu: &str, to: &str, from: &str, rounds: u64) {
    crate::pin(cpu);
    let mut to = File::options().write(true).open(to).expect("the pipe is there");
    let mut from = File::open(from).expect("the pipe is there");
    let mut byte = [0];
    for _ in 0..rounds {
        to.write_all(&byte).expect("the other side listens");
        from.read_exact(&mut byte).expect("the other side answers");
    }
    crate::done(&[]);
}

/// Answers every byte.
pub(crate) fn pong(cpu: &str, from: &str, to: &str, rounds: u64) {
    crate::pin(cpu);
    let mut from = File::open(from).expect("the pipe is there");
    let mut to = File::options().write(true).open(to).expect("the pipe is there");
    let mut byte = [0];
    for _ in 0..rounds {
        from.read_exact(&mut byte).expect("the other side sends");
        to.write_all(&byte).expect("the other side listens");
    }
    crate::done(&[]);
}

/// How many children there are at a time.
const BATCH: u64 = 25;

/// Starts `total` children, with a name of their own, that each use `time` of a CPU. Reports what the kernel counted of them:
/// on-CPU time, time waited, times run, voluntary and involuntary switches from `/proc`, and on-CPU
/// time by `RUSAGE_CHILDREN`.
pub(crate) fn forks(total: u64, time: Duration) {
    sys::set_comm("mt-forked");
    let before = sys::usage(libc::RUSAGE_CHILDREN);
    let mut sum = Counters::default();
    let mut left = total;
    while left > 0 {
        let batch = left.min(BATCH);
        left -= batch;
        let children: Vec<_> =
            (0..batch).map(|_| sys::fork(None, || sys::burn(time)).expect("fork works")).collect();
        for child in children {
            sum.add(&ended(child));
            sys::reap(child);
        }
    }
    let used = sys::usage(libc::RUSAGE_CHILDREN);
    crate::done(&[
        sum.cpu_ns,
        sum.run_delay_ns,
        sum.times,
        sum.voluntary,
        sum.involuntary,
        used.cpu_ns - before.cpu_ns,
    ]);
}

/// Starts children, one after the other, that each have another name and end at once.
pub(crate) fn names(total: u64) {
    for number in 0..total {
        let child = sys::fork(None, || sys::set_comm(&format!("mt-n{number}")));
        let child = child.expect("fork works");
        sys::wait_until_ended(child).expect("it is a child");
        sys::reap(child);
    }
    crate::done(&[]);
}

/// What the kernel counted of a child that never blocks, once it has ended. It can be waited for,
/// and reaped, while it is still on its CPU for the last time, and then its counters, those that
/// `getrusage` adds up as well, lack what it used since the last timer interrupt. Its last switch,
/// away for ever, is its only voluntary one and tells when they are final.
fn ended(child: u32) -> Counters {
    sys::wait_until_ended(child).expect("it is a child");
    for _ in 0..100_000 {
        let counters = Counters::of_thread(&format!("/proc/{child}"));
        if counters.voluntary > 0 {
            return counters;
        }
        thread::sleep(Duration::from_micros(100));
    }
    panic!("child {child} never left its CPU");
}

/// Starts one child after the other, all with the same process id as far as the kernel allows it.
/// Reports how many had it.
pub(crate) fn reuse(times: u64) {
    assert!(Path::new("/proc/self").exists(), "the tests read /proc");
    let child = || {
        sys::burn(Duration::from_micros(300));
        thread::sleep(Duration::from_micros(300));
        sys::burn(Duration::from_micros(300));
    };
    let first = sys::fork(None, child).expect("fork works");
    sys::wait_until_ended(first).expect("it is a child");
    sys::reap(first);
    let mut same = 1;
    for _ in 1..times {
        // Somebody else may have got the number in between.
        let pid = match sys::fork(Some(first), child) {
            Ok(pid) => {
                same += 1;
                pid
            }
            Err(_) => sys::fork(None, child).expect("fork works"),
        };
        sys::wait_until_ended(pid).expect("it is a child");
        sys::reap(pid);
    }
    crate::done(&[same]);
}

/// Starts children that end at once, as fast as it can, from one process on every CPU: `least` of each
/// and for this `time`, whichever takes longer. Reports how many there were, those processes among them.
pub(crate) fn storm(time: Duration, least: u64) {
    let (mut counts, count) = std::io::pipe().expect("a pipe can be made");
    let cpus = sys::cpus();
    let worker = |cpu| {
        sys::pin(cpu);
        let (mut children, end) = (1, Instant::now() + time);
        while children <= least || Instant::now() < end {
            let child = sys::fork(None, || {}).expect("fork works");
            sys::reap(child);
            children += 1_u64;
        }
        (&count).write_all(&children.to_ne_bytes()).expect("the parent listens");
    };
    let workers: Vec<_> =
        cpus.iter().map(|cpu| sys::fork(None, || worker(*cpu)).expect("fork works")).collect();
    workers.into_iter().for_each(sys::reap);
    drop(count);
    let mut bytes = Vec::new();
    counts.read_to_end(&mut bytes).expect("a pipe can be read");
    let counts =
        bytes.chunks_exact(8).map(|chunk| u64::from_ne_bytes(chunk.try_into().expect("8")));
    crate::done(&[counts.sum()]);
}
