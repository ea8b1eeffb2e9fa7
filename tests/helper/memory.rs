//! Processes that use memory.

use std::{
    fs,
    fs::File,
    hint::{self, black_box},
    io::Write,
    sync::{
        Barrier,
        atomic::{
            AtomicUsize,
            Ordering::{Acquire, Release},
        },
    },
    thread,
    time::Duration,
};

use monitor_tests::sys::{
    self,
    memory::{Mapping, PAGE},
};

/// Faults `pages` pages in: in this thread, in threads and in children that end, and, that many times
/// over, in the pages of a file that have to be read. Reports the minor and the major faults that
/// `getrusage` counted.
pub(crate) fn faults(pages: usize) {
    Mapping::anonymous(pages).write();
    for _ in 0..4 {
        let touched = thread::spawn(move || Mapping::anonymous(pages).write()).join();
        touched.expect("threads do not fail");
    }
    for _ in 0..20 {
        let child = sys::fork(None, || Mapping::anonymous(pages / 10).write());
        sys::wait4(child.expect("fork works"));
    }
    black_box(unread(pages).read());
    let used = [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].map(sys::usage);
    let sum = |of: fn(&sys::Usage) -> u64| used.iter().map(of).sum::<u64>();
    crate::done(&[sum(|used| used.minor_faults), sum(|used| used.major_faults)]);
}

/// Reads a file that is not in memory page by page, or the device at a path. Reports how many major faults
/// `getrusage` counted for that, and how long each page took in nanoseconds. No other process preempts it
/// meanwhile: that time would be in its own measurement, and in no fault.
pub(crate) fn fault_times(pages: usize, device: &str) {
    let mapping = match device {
        "" => unread(pages),
        _ => {
            let device = File::options().read(true).write(true).open(device);
            Mapping::file(&device.expect("it is there"), pages)
        }
    };
    sys::run_first();
    let before = sys::usage(libc::RUSAGE_SELF).major_faults;
    let mut took = Vec::new();
    let mut pages = mapping.pages();
    loop {
        let begin = sys::monotonic_ns();
        let Some(byte) = pages.next() else { break };
        black_box(byte);
        took.push(sys::monotonic_ns() - begin);
    }
    took.insert(0, sys::usage(libc::RUSAGE_SELF).major_faults - before);
    crate::done(&took);
}

/// Reads a file that is not in memory page by page, each time on the second CPU, and is moved to the first
/// while it waits. Some time before it has a fault there that needs nothing read. Reports how long each
/// page took in nanoseconds.
pub(crate) fn fault_moves(pages: usize) {
    const BETWEEN: Duration = Duration::from_millis(20);
    let [first, second, ..] = sys::cpus()[..] else { panic!("there is one CPU") };
    let mapping = unread(pages);
    let (reader, reading) = (sys::tid(), AtomicUsize::new(0));
    let mut took = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            sys::pin(first);
            for page in 1..=pages {
                while reading.load(Acquire) != page {
                    hint::spin_loop();
                }
                sys::pin_thread(reader, first);
                // It shares this CPU from now on.
                thread::sleep(BETWEEN / 2);
            }
        });
        let mut unread = mapping.pages();
        for page in 1..=pages {
            sys::pin(first);
            Mapping::anonymous(1).write();
            thread::sleep(BETWEEN);
            sys::pin(second);
            reading.store(page, Release);
            let begin = sys::monotonic_ns();
            black_box(unread.next());
            took.push(sys::monotonic_ns() - begin);
        }
    });
    crate::done(&took);
}

/// The pages of a file of which none is in memory.
fn unread(pages: usize) -> Mapping {
    // Beside the program, as temporary files may be in memory.
    let directory = std::env::current_exe().expect("the kernel knows");
    let path = directory.with_file_name(format!("faults-{}", std::process::id()));
    let mut file =
        File::options().read(true).write(true).create_new(true).open(&path).expect("ours");
    file.write_all(&vec![1; pages * PAGE]).expect("there is room");
    file.sync_all().expect("it can be written");
    fs::remove_file(&path).expect("it was made here");
    Mapping::file(&file, pages)
}

/// Joins the cgroups, whose paths are separated by commas.
fn join(cgroups: &str) {
    for path in cgroups.split(',').filter(|path| *path != "-") {
        let path = format!("{path}/cgroup.procs");
        fs::write(&path, "0").unwrap_or_else(|error| panic!("cannot join {path}: {error}"));
    }
}

/// Writes a file of this many MiB in the cgroups, which puts it into memory. Reports how long that
/// took, in nanoseconds.
pub(crate) fn cache(cgroups: &str, mib: usize) {
    join(cgroups);
    let directory = std::env::current_exe().expect("the kernel knows");
    let path = directory.with_file_name(format!("cache-{}", std::process::id()));
    let block = vec![1; 1 << 20];
    let begin = sys::monotonic_ns();
    let mut file = File::create_new(&path).expect("ours");
    for written in 1..=mib {
        file.write_all(&block).expect("there is room");
        // What has been written can be given up.
        if written % 8 == 0 {
            file.sync_data().expect("it can be written");
        }
    }
    let took = sys::monotonic_ns() - begin;
    fs::remove_file(&path).expect("it was made here");
    crate::done(&[took]);
}

/// Has the kernel compact all memory, in this thread. Reports how long that took, in nanoseconds.
pub(crate) fn compact(times: u64) {
    let begin = sys::monotonic_ns();
    for _ in 0..times {
        let path = "/proc/sys/vm/compact_memory";
        fs::write(path, "1").unwrap_or_else(|error| panic!("cannot write {path}: {error}"));
    }
    crate::done(&[sys::monotonic_ns() - begin]);
}

/// Uses this many MiB in the cgroups, more than they may have, from several threads at once. No thread
/// frees its part before all of them are in use. Fails unless it is killed by then.
pub(crate) fn oom(cgroups: &str, mib: usize) {
    const THREADS: usize = 4;
    join(cgroups);
    let pages = (mib << 20) / PAGE / THREADS;
    let all_in_use = Barrier::new(THREADS);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut memory = Mapping::anonymous(pages);
                memory.write();
                all_in_use.wait();
            });
        }
    });
    panic!("{mib} MiB were used, and nothing was killed");
}
