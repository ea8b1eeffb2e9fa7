//! Processes with many open files.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::AsFd,
};

use monitor_tests::sys;

/// How many files a process has at most; fewer if it may have fewer.
const EACH: usize = 15_000;

/// Starts children that have more than `total` open files together, and live until the input ends.
/// Reports their process ids.
pub(crate) fn open(total: u64) {
    let file = File::open("/dev/null").expect("every machine has it");
    let copies: Vec<_> = (0..EACH).map_while(|_| file.as_fd().try_clone_to_owned().ok()).collect();
    let wait = || drop(io::stdin().read_to_end(&mut Vec::new()));
    let children: Vec<_> = (0..=total / copies.len() as u64)
        .map(|_| sys::fork(None, wait).expect("fork works").into())
        .collect();
    drop(copies);
    crate::done(&children);
}
