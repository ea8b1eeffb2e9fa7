//! Processes that use memory.

use std::{fs, fs::File, hint::black_box, io::Write, path::Path, thread};

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
    // Beside the program, as temporary files may be in memory.
    let directory = std::env::current_exe().expect("the kernel knows");
    let path = directory.with_file_name(format!("faults-{}", std::process::id()));
    major_faults(&path, pages);
    fs::remove_file(&path).expect("it was made here");
    let used = [libc::RUSAGE_SELF, libc::RUSAGE_CHILDREN].map(sys::usage);
    let sum = |of: fn(&sys::Usage) -> u64| used.iter().map(of).sum::<u64>();
    crate::done(&[sum(|used| used.minor_faults), sum(|used| used.major_faults)]);
}

fn major_faults(path: &Path, pages: usize) {
    let mut file =
        File::options().read(true).write(true).create_new(true).open(path).expect("ours");
    file.write_all(&vec![1; pages * PAGE]).expect("there is room");
    file.sync_all().expect("it can be written");
    let mapping = Mapping::file(&file, pages);
    black_box(mapping.read());
}
