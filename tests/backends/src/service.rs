//! A running process that listens.
#![expect(unsafe_code, reason = "the standard library has no signals")]

use std::{
    fs::{self, File},
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    ops::Range,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::http;

/// How long a service may take to be ready, while all of a machine's CPUs are busy.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// How long it may take to end.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);
/// How many lines of its log tell what went wrong.
const LAST_WORDS: usize = 10;

/// A service, which ends when this is dropped.
pub struct Service {
    name: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
    log: PathBuf,
}

impl Service {
    /// Starts a service with all that it says going to a log in `folder`, and waits until it answers to a request
    /// for `ready`, an address and a path.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        folder: &Path,
        address: SocketAddr,
        (ready_address, ready): (SocketAddr, &str),
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options().append(true).create(true).open(&log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let process = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let mut service = Self { name, address, process, log };
        let start = Instant::now();
        while http::get(ready_address, ready).is_err() {
            service.check()?;
            if start.elapsed() > START_TIMEOUT {
                bail!("{name} is not ready after {START_TIMEOUT:?}{}", service.last_words());
            }
            thread::sleep(POLL);
        }
        // Another process may have answered in its place.
        service.check()?;
        Ok(service)
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All that it said.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Asks it to end, and waits until it has.
    pub fn stop(mut self) -> Result<()> {
        terminate(self.pid()).with_context(|| format!("cannot end {}", self.name))?;
        let start = Instant::now();
        while self.process.try_wait()?.is_none() {
            if start.elapsed() > STOP_TIMEOUT {
                bail!("{} does not end{}", self.name, self.last_words());
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Leaves it running. Returns its process id.
    pub fn detach(self) -> u32 {
        let pid = self.pid();
        std::mem::forget(self);
        pid
    }

    /// Fails when it has ended.
    fn check(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("{} ended, {status}{}", self.name, self.last_words());
        }
        Ok(())
    }

    /// The end of its log, for an error message.
    fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let end = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        format!("; the end of {}:\n{}", self.log.display(), end.join("\n"))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks a process to end.
pub fn terminate(pid: u32) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let result = unsafe { libc::kill(pid as libc::pid_t, libc::SIGTERM) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Ports that the kernel gives to nobody who connects somewhere: they stay free until they are used.
const UNASSIGNED: Range<u32> = 20_000..32_768;

/// How far apart processes begin that look for ports at the same time.
const APART: u32 = 64;

/// A port of this machine: `preferred`, if nobody listens there, or else any. None of those is told
/// twice.
pub fn free_port(preferred: u16) -> Result<SocketAddr> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let others = UNASSIGNED.map(|_| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = process::id().wrapping_mul(APART).wrapping_add(next);
        (UNASSIGNED.start + offset % UNASSIGNED.len() as u32) as u16
    });
    let preferred = Some(preferred).filter(|port| *port != 0);
    let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut addresses = preferred.into_iter().chain(others).map(address);
    addresses.find(|address| TcpListener::bind(address).is_ok()).context("no port is free")
}
