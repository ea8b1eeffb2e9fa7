//! Running the program under test, for a while or to its end.

use std::{
    env, fs,
    fs::File,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::sys;
use serde_json::Value;

/// How long anything may take that has no limit of its own.
const LIMIT: Duration = Duration::from_secs(20);

/// The daemon's executable, which `cargo xtask test` builds first; cargo puts it one directory above
/// the tests.
pub fn executable() -> PathBuf {
    let test = env::current_exe().expect("the kernel knows");
    let above = test.parent().and_then(Path::parent).expect("there are two");
    let path = above.join("monitor");
    assert!(path.exists(), "no {path:?}; build it with `cargo xtask build`");
    path
}

/// A command without the variables that would change what it does.
pub fn clean(program: impl AsRef<Path>) -> Command {
    let mut command = Command::new(program.as_ref());
    for (name, _) in env::vars_os() {
        if ["MONITOR_", "OTEL_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// The program where `file` is what the kernel has at `place`.
pub fn with_file_at(place: &str, file: &Path) -> Command {
    let mut command = clean("unshare");
    let script = format!("mount --bind \"$0\" {place} && exec \"$@\"");
    command.args(["--mount", "sh", "-c", &script]).arg(file).arg(executable());
    command
}

/// A directory of a test, removed at the end.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes it.
    #[expect(clippy::new_without_default, reason = "it is no value, it makes a directory")]
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("monitor-tests-{}-daemon-{number}", process::id()));
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {path:?}: {error}"));
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file, and says where it is.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("cannot write {path:?}: {error}"));
        path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running process that does not outlive the test.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Self {
        let child = command.spawn();
        Self(
            child.unwrap_or_else(|error| {
                panic!("cannot start {command:?}: {error}; is it installed?")
            }),
        )
    }

    /// Its status, if it ends within `limit`.
    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.0.try_wait().expect("it is a child") {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What came of a command that ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Ended {
    let directory = Directory::new();
    let [out, err] = ["out", "err"].map(|name| directory.file(name, ""));
    let open = |path: &Path| File::options().write(true).open(path).expect("it was just made");
    command.stdout(open(&out)).stderr(open(&err));
    let line = format!("{command:?}");
    let mut running = Running::start(command);
    let status = running.wait(LIMIT).unwrap_or_else(|| panic!("{line} does not end"));
    let text = |path: &Path| fs::read_to_string(path).expect("the program prints text");
    Ended { code: status.code(), stdout: text(&out), stderr: text(&err) }
}

/// Runs `monitor` to its end.
pub fn monitor<'a>(args: impl IntoIterator<Item = &'a str>) -> Ended {
    let mut command = clean(executable());
    command.args(args);
    run(command)
}

/// An answer to a request.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("it is text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {}", self.text()))
    }
}

/// A running daemon.
pub struct Daemon {
    running: Running,
    pub address: SocketAddr,
    directory: Directory,
}

impl Daemon {
    /// Starts the daemon on a port that is free, and waits until it has ticked.
    pub fn start<'a>(args: impl IntoIterator<Item = &'a str>) -> Self {
        let daemon = Self::launch(clean(executable()), args);
        daemon.wait_ready();
        daemon
    }

    /// Starts `program`, which runs `monitor` with the arguments that are added here, and waits
    /// until it serves.
    pub fn launch<'a>(program: Command, args: impl IntoIterator<Item = &'a str>) -> Self {
        // A host's own configuration is not looked at.
        Self::configured(program, "", args)
    }

    /// The same with a configuration of this text.
    pub fn configured<'a>(
        mut program: Command,
        config: &str,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let directory = Directory::new();
        let config = directory.file("monitor.toml", config);
        let log = directory.path("log");
        program
            // What the arguments say counts more.
            .env("MONITOR_LISTEN", "127.0.0.1:0")
            .args(["run", "--config"])
            .arg(config)
            .args(args)
            .stdout(Stdio::null())
            .stderr(File::create(&log).expect("the directory is ours"));
        let mut running = Running::start(program);
        let deadline = Instant::now() + LIMIT;
        let address = loop {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let address =
                text.split_once("://").and_then(|(_, rest)| rest.split_once('/')?.0.parse().ok());
            if let Some(address) = address {
                break address;
            }
            let ended = running.wait(Duration::ZERO);
            assert!(ended.is_none(), "the daemon ended, {ended:?}:\n{text}");
            assert!(Instant::now() < deadline, "the daemon does not serve:\n{text}");
            thread::sleep(Duration::from_millis(10));
        };
        Self { running, address, directory }
    }

    pub fn pid(&self) -> u32 {
        self.running.0.id()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path("log")).unwrap_or_default()
    }

    /// Gives it another configuration, and waits until it says what came of it. Returns what it logged.
    pub fn reload(&self, config: &str) -> String {
        let before = self.log().len();
        self.directory.file("monitor.toml", config);
        sys::kill(self.pid(), libc::SIGHUP);
        self.wait("the configuration", || {
            let log = self.log().split_off(before);
            ["configuration reloaded", "configuration not reloaded"]
                .iter()
                .any(|said| log.contains(said))
                .then_some(log)
        })
    }

    /// Gives it a configuration with a long interval, and waits for the tick that this begins with: the next
    /// one comes after the interval. It is told from others by a probe that is off.
    pub fn reload_interval(&self, seconds: u32, config: &str) {
        self.reload(&format!("interval = \"{seconds}s\"\nprobes.memory = false\n{config}"));
        self.wait("the first tick of the new interval", || {
            let health = self.get("/health").json();
            let probes = health["probes"].as_array().expect("it is a list");
            let memory = probes.iter().find(|probe| probe["probe"] == "memory");
            memory.is_some_and(|probe| probe["state"] == "disabled").then_some(())
        });
    }

    /// Sends a signal. Returns how long it took to end, and its status; `None` when it does not.
    pub fn signal(&mut self, signal: i32) -> Option<(Duration, ExitStatus)> {
        let begin = Instant::now();
        sys::kill(self.pid(), signal);
        let status = self.running.wait(LIMIT)?;
        Some((begin.elapsed(), status))
    }

    /// Asks for a path.
    pub fn get(&self, path: &str) -> Answer {
        self.get_as(path, "*/*")
    }

    /// Asks for a path in a form.
    pub fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.try_get(path, accept).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn try_get(&self, path: &str, accept: &str) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect_timeout(&self.address, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        // In HTTP/1.0, an answer comes in one piece.
        let host = self.address;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {accept}\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap_or(answer.len());
        let body = answer.split_off(answer.len().min(end + 4));
        let head = String::from_utf8_lossy(&answer).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Ok(Answer { status, head, body })
    }

    /// Waits for the first tick.
    pub fn wait_ready(&self) {
        self.wait("the first tick", || (self.get("/ready").status == 200).then_some(()));
    }

    /// Waits until the daemon has made this many ticks that began after the call.
    pub fn wait_ticks(&self, count: u64) {
        let tick = || self.get("/health").json()["tick"].as_u64().expect("ticks are numbered");
        // The tick that is under way began before.
        let end = tick() + 1 + count;
        self.wait("the next tick", || (tick() >= end).then_some(()));
    }

    /// Waits until there is something.
    pub fn wait<T>(&self, what: &str, get: impl FnMut() -> Option<T>) -> T {
        eventually(get).unwrap_or_else(|| panic!("waiting for {what} in vain"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the daemon's log:\n{}", self.log());
        }
    }
}

/// Asks again and again, until there is something or the time is up.
pub fn eventually<T>(mut get: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = get() {
            return Some(found);
        }
        if Instant::now() > deadline {
            return None;
        }
        thread::sleep(Duration::from_millis(20));
    }
}
