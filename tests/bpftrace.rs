//! bpftrace counting on its own: the second opinion where events are few.

use std::{
    collections::HashMap,
    fs,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use crate::{sys, workload::scratch};

/// bpftrace looks for tracepoints in these file systems. Where they are not mounted, they are for
/// bpftrace alone.
pub(crate) const MOUNT_AND_RUN: &str = r#"
mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing
exec bpftrace "$@"
"#;

/// Comes last in a script, so all else is attached once it speaks.
const READY: &str = "\ninterval:ms:20 { printf(\"ready\\n\"); }\n";

/// A running bpftrace.
pub struct Counting {
    bpftrace: Child,
    directory: PathBuf,
}

impl Counting {
    /// Starts a script, and waits until it is attached.
    pub fn start(script: &str) -> Self {
        Self::run(script, &[])
    }

    /// The same of a script that does not only look: it sends signals.
    pub fn intervening(script: &str) -> Self {
        Self::run(script, &["--unsafe"])
    }

    fn run(script: &str, options: &[&str]) -> Self {
        let directory = scratch("counting");
        let file = |name| fs::File::create(directory.join(name)).expect("the directory is ours");
        let path = directory.join("script.bt");
        fs::write(&path, format!("{script}{READY}")).expect("the directory is ours");
        let bpftrace = Command::new("unshare")
            .args(["--mount", "sh", "-c", MOUNT_AND_RUN, "sh", "-B", "line"])
            .args(options)
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(file("output"))
            .stderr(file("errors"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run unshare: {error}; install util-linux"));
        let mut counting = Self { bpftrace, directory };
        for _ in 0..1000 {
            if counting.read("output").contains("ready") {
                return counting;
            }
            let ended = counting.bpftrace.try_wait().expect("it was started here");
            assert!(ended.is_none(), "bpftrace ended: {}", counting.read("errors"));
            thread::sleep(Duration::from_millis(20));
        }
        panic!("bpftrace does not start: {}", counting.read("errors"));
    }

    /// Ends it; the maps with numbers that it prints then, such as `@count[mt-name]`.
    pub fn stop(mut self) -> HashMap<String, u64> {
        sys::kill(self.bpftrace.id(), libc::SIGINT);
        self.bpftrace.wait().expect("it was started here");
        let output = self.read("output");
        let entry = |line: &str| {
            let (name, value) = line.strip_prefix('@')?.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        output.lines().filter_map(entry).collect()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join(name)).unwrap_or_default()
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let _ = self.bpftrace.kill();
        let _ = self.bpftrace.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}
