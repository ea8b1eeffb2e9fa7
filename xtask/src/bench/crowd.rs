//! Many processes and threads that sleep, some of which are woken every second.
#![expect(unsafe_code, reason = "the standard library does not fork")]

use std::{
    fmt::{self, Display, Formatter},
    io::{self, PipeReader, PipeWriter, Read, Write},
    process::Command,
    thread,
    time::Duration,
};

use anyhow::{Context, Result};

use super::service::{Service, die_with_parent, pause};
use crate::run::signals;

/// How many there are, and what they do.
#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Crowd {
    /// Number of processes
    #[arg(long)]
    pub(super) processes: u32,
    /// Number of threads in each of them
    #[arg(long, default_value_t = 1)]
    pub(super) threads: u32,
    /// How many threads of all processes wake up in a second, for a moment
    #[arg(long, default_value_t = 0)]
    pub(super) woken: u32,
}

/// How long starting may take, for the largest crowd on a busy machine.
const START: Duration = Duration::from_secs(120);
/// For ever, compared with a benchmark.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);
/// What is said when everybody is there.
const READY: &str = "ready";
/// Only so much is needed for sleeping.
const STACK_BYTES: usize = 16 << 10;

impl Crowd {
    /// Starts it as a process of its own and waits until all are there.
    pub(super) fn start(self) -> Result<Service> {
        println!("starting {self}");
        // Not by its path, where another build may have put another program by now.
        let mut command = Command::new("/proc/self/exe");
        command.args(["bench", "crowd"]);
        command.args(["--processes", &self.processes.to_string()]);
        command.args(["--threads", &self.threads.to_string()]);
        command.args(["--woken", &self.woken.to_string()]);
        let mut service = Service::start("crowd", &mut command)?;
        service.wait_until(START, |service| service.said().contains(READY))?;
        Ok(service)
    }

    fn total(self) -> u32 {
        self.processes * self.threads
    }
}

impl Display for Crowd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { processes, threads, woken } = self;
        write!(f, "{processes} processes")?;
        if *threads > 1 {
            write!(f, " of {threads} threads each")?;
        }
        if *woken > 0 {
            write!(f, ", {woken} threads woken a second")?;
        }
        Ok(())
    }
}

/// Is the crowd until asked to end.
pub(super) fn run(crowd: &Crowd) -> Result<()> {
    signals::catch();
    let mut pids = Vec::new();
    let result = populate(*crowd, &mut pids).and_then(|()| {
        println!("{READY}");
        pause(FOREVER)
    });
    for pid in &pids {
        // SAFETY: takes integers only; a child that was not waited for keeps its id.
        unsafe { libc::kill(*pid, libc::SIGKILL) };
    }
    for pid in pids {
        // SAFETY: takes integers and a null pointer, which is allowed.
        unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
    }
    if signals::asked_to_stop() { Ok(()) } else { result }
}

fn populate(crowd: Crowd, pids: &mut Vec<libc::pid_t>) -> Result<()> {
    let (mut arrivals, arrived) = io::pipe().context("cannot make a pipe")?;
    for process in 0..crowd.processes {
        // SAFETY: this process has one thread, so the copy may run anything; it ends below.
        match unsafe { libc::fork() } {
            -1 => {
                return Err(io::Error::last_os_error())
                    .with_context(|| format!("cannot start process {}", process + 1));
            }
            0 => be_one_of(crowd, process, arrived),
            pid => pids.push(pid),
        }
    }
    drop(arrived);
    wait_for_all(&mut arrivals, crowd.processes)
}

/// Everybody writes a byte; whoever ends before leaves one out.
fn wait_for_all(arrivals: &mut PipeReader, processes: u32) -> Result<()> {
    let mut bytes = vec![0; processes as usize];
    arrivals.read_exact(&mut bytes).context("some processes ended before they were ready")
}

/// One of the processes.
fn be_one_of(crowd: Crowd, process: u32, arrived: PipeWriter) -> ! {
    let first = process * crowd.threads;
    if let Err(error) = enter(crowd, first, arrived) {
        eprintln!("process {process} of the crowd: {error}");
        std::process::exit(1);
    }
    sleep(crowd, first)
}

/// Starts the other threads of a process, says that they are there, and closes the pipe.
fn enter(crowd: Crowd, first: u32, mut arrived: PipeWriter) -> io::Result<()> {
    die_with_parent()?;
    for thread in first + 1..first + crowd.threads {
        thread::Builder::new().stack_size(STACK_BYTES).spawn(move || sleep(crowd, thread))?;
    }
    arrived.write_all(b".")
}

/// Sleeps, and wakes up once in a while: each thread at another moment.
fn sleep(crowd: Crowd, thread: u32) -> ! {
    if crowd.woken == 0 {
        loop {
            thread::sleep(FOREVER);
        }
    }
    let second = Duration::from_secs(1);
    thread::sleep(second * thread / crowd.woken);
    loop {
        thread::sleep(second * crowd.total() / crowd.woken);
    }
}
