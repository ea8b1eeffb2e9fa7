//! Workloads of one process with several threads.

use std::{
    hint,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    sync::{Arc, Barrier, mpsc},
    thread,
    time::{Duration, Instant},
};

use monitor_tests::{proc, sys};

/// Starts threads that sleep and work in turn, and stay until the end.
pub(crate) fn many(count: u64, rounds: u64) {
    let size = count as usize + 1;
    let (worked, end) = (Arc::new(Barrier::new(size)), Arc::new(Barrier::new(size)));
    let threads: Vec<_> = (0..count)
        .map(|n| {
            let (worked, end) = (Arc::clone(&worked), Arc::clone(&end));
            thread::spawn(move || {
                for round in 0..rounds {
                    thread::sleep(Duration::from_micros(500 + (n * 37 + round * 211) % 4000));
                    sys::burn(Duration::from_micros(20 + (n + round) % 60));
                }
                worked.wait();
                end.wait();
            })
        })
        .collect();
    worked.wait();
    crate::done(&[]);
    end.wait();
    for thread in threads {
        thread.join().expect("threads do not fail");
    }
}

/// Waits for a CPU for about `time`, again and again, while a thread of its own has it. Reports how long
/// it was each time.
pub(crate) fn starve(cpu: &str, times: u64, time: Duration) {
    crate::pin(cpu);
    let waits: Vec<u64> = (0..times).map(|_| starve_once(time)).collect();
    crate::done(&waits);
}

fn starve_once(time: Duration) -> u64 {
    let waiting = format!("/proc/self/task/{}", std::process::id());
    let (wake, woken) = mpsc::channel();
    let first = thread::spawn(move || {
        sys::run_first();
        // On the same CPU, so nothing wakes the other one before this thread does.
        while proc::state(&waiting) != 'S' {
            thread::sleep(Duration::from_millis(1));
        }
        let begin = Instant::now();
        wake.send(begin).expect("the other waits");
        while begin.elapsed() < time {
            hint::spin_loop();
        }
    });
    let waited = woken.recv().expect("it sends").elapsed();
    first.join().expect("threads do not fail");
    waited.as_nanos() as u64
}

/// Starts threads that use `time` and then end, while the process stays. Reports what those threads
/// used: on-CPU time by their own clocks, switches by `getrusage`, which lacks the last of each.
pub(crate) fn leave(count: u64, time: Duration) {
    let mut cpu_ns = 0;
    for _ in 0..count / TOGETHER {
        let work = move || {
            sys::burn(time / 2);
            thread::sleep(Duration::from_micros(200));
            sys::burn(time / 2);
            sys::thread_cpu_ns()
        };
        let threads: Vec<_> = (0..TOGETHER).map(|_| thread::spawn(work)).collect();
        for thread in threads {
            cpu_ns += thread.join().expect("threads do not fail");
        }
    }
    // What a thread used is in the sum once it is not in the list any more.
    while proc::threads(std::process::id()).len() > 1 {
        thread::sleep(Duration::from_millis(1));
    }
    let (all, own) = (sys::usage(libc::RUSAGE_SELF), sys::usage(libc::RUSAGE_THREAD));
    let switches = |usage: sys::Usage| usage.voluntary + usage.involuntary;
    crate::done(&[cpu_ns, switches(all) - switches(own), count / TOGETHER * TOGETHER]);
}

/// How many threads there are at a time.
const TOGETHER: u64 = 10;

/// Executes this program anew from a thread that is not the first: it takes over the process id,
/// and all other threads end.
pub(crate) fn exec_from_another() {
    for _ in 0..3 {
        thread::spawn(|| {
            for _ in 0..1000 {
                thread::sleep(Duration::from_millis(1));
            }
        });
    }
    let work = || {
        for _ in 0..100 {
            thread::sleep(Duration::from_micros(500));
            sys::burn(Duration::from_micros(200));
        }
    };
    execute_in_thread(work, &["sleep", "-", "100", "500"]);
}

/// Runs `times` processes that each execute this program from another thread; then does as
/// [`crate::processes::forks`].
pub(crate) fn execs(times: u64, forks: u64) {
    for _ in 0..times {
        let status = Command::new(program()).arg("exec-once").stdin(Stdio::null()).status();
        assert!(status.is_ok_and(|status| status.success()), "a process failed");
    }
    crate::processes::forks(forks, Duration::from_millis(1));
}

/// Executes this program, to do nothing, from another thread.
pub(crate) fn exec_once() {
    execute_in_thread(|| (), &["nothing"]);
}

/// Has a new thread do some work and then execute this program with other arguments.
fn execute_in_thread(work: impl FnOnce() + Send, args: &[&str]) {
    let execute = || {
        work();
        panic!("cannot execute: {}", Command::new(program()).args(args).exec());
    };
    // It never returns.
    thread::scope(|scope| drop(scope.spawn(execute).join()));
}

/// What this program was started as.
fn program() -> String {
    std::env::args().next().expect("programs have names")
}
