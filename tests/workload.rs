//! Processes of ours, each with a name of its own from its first instruction to its last.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{self, Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{proc::Counters, reference::PREFIX, sys};

/// How long any workload may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Makes a directory that nothing else uses.
pub(crate) fn scratch(name: &str) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("monitor-tests-{}-{number}-{name}", process::id());
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {path:?}: {error}"));
    path
}

/// A process that does what it is told, then says so, and then waits to be told to end.
pub struct Workload {
    /// Its command name.
    pub name: String,
    child: Child,
    input: Option<ChildStdin>,
    output: Receiver<String>,
    directory: PathBuf,
}

impl Workload {
    /// Starts the helper program under a name, which begins with [`PREFIX`].
    pub fn start(name: &str, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        assert!(name.starts_with(PREFIX) && name.len() < 16, "{name} would not be recorded");
        let directory = scratch(name);
        // The kernel names a process after the last part of the path it was started by.
        let path = directory.join(name);
        symlink(helper(), &path).expect("the directory is ours");
        let mut child = Command::new(&path)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {path:?}: {error}"));
        let input = child.stdin.take();
        let reader = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let (sender, output) = mpsc::channel();
        let readers = thread::Builder::new().name("reader".to_owned());
        let reading = readers.spawn(move || {
            for line in reader.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        reading.expect("threads can be started");
        Self { name: name.to_owned(), child, input, output, directory }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has done its work; returns the numbers that it reports.
    pub fn done(&self) -> Vec<u64> {
        let line = self.output.recv_timeout(LIMIT);
        let line = line.unwrap_or_else(|_| panic!("{} did not come to an end", self.name));
        let rest = line.strip_prefix("done").unwrap_or_else(|| panic!("{}: failed", self.name));
        rest.split_whitespace().filter_map(|number| number.parse().ok()).collect()
    }

    /// Has one that works in steps begin the next.
    pub fn go_on(&self) {
        let mut input = self.input.as_ref().expect("it has not ended");
        input.write_all(b"\n").expect("it reads");
    }

    /// Waits until it has used a CPU for some time, so that it does what it was started for.
    pub fn busy(self) -> Self {
        const SOME_NS: u64 = 50_000_000;
        let deadline = Instant::now() + LIMIT;
        while Counters::of_process(self.pid()).cpu_ns < SOME_NS {
            assert!(Instant::now() < deadline, "{} does not work", self.name);
            thread::sleep(Duration::from_millis(5));
        }
        self
    }

    /// Tells it to end, and reaps it.
    pub fn end(mut self) {
        drop(self.input.take());
        let deadline = Instant::now() + LIMIT;
        while self.child.try_wait().expect("it is a child").is_none() {
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until it has ended by itself, and reaps it.
    pub fn ended(mut self) -> ExitStatus {
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is a child") {
                return status;
            }
            assert!(Instant::now() < deadline, "{} does not end", self.name);
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, and reaps it.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Two named pipes, removed at the end.
pub struct Pipes([PathBuf; 2]);

impl Pipes {
    /// Makes them.
    #[expect(clippy::new_without_default, reason = "it is no value, it makes files")]
    pub fn new() -> Self {
        let path =
            |name| std::env::temp_dir().join(format!("monitor-tests-{}-{name}", process::id()));
        let pipes = ["there", "back"].map(path);
        pipes.iter().for_each(|pipe| sys::mkfifo(pipe));
        Self(pipes)
    }

    /// Where they are.
    pub fn paths(&self) -> [&str; 2] {
        self.0.each_ref().map(|pipe| pipe.to_str().expect("plain letters"))
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        for pipe in &self.0 {
            let _ = fs::remove_file(pipe);
        }
    }
}

/// The helper program, which cargo puts one directory above the tests.
fn helper() -> PathBuf {
    let test = std::env::current_exe().expect("the kernel knows");
    let above = test.parent().and_then(|directory| directory.parent()).expect("there are two");
    above.join("monitor-workload")
}
