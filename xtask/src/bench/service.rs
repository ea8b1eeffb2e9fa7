//! Programs that are started to be measured, or to measure with.
#![expect(unsafe_code, reason = "the standard library cannot tie a process to its parent")]

use std::{
    fs::{self, File},
    io,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{run::signals, workspace};

/// How often is looked whether something has happened.
const POLL: Duration = Duration::from_millis(20);
/// How much of a log goes into an error.
const LAST_WORDS: usize = 5;

/// A running program; it ends when this is dropped, or when this process ends in whatever way.
pub(super) struct Service {
    name: &'static str,
    process: Child,
    log: PathBuf,
}

impl Service {
    /// Starts it, with all it says going to a log.
    pub(super) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let folder = workspace::root().join("target/bench");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let log = folder.join(name).with_extension("log");
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // Ctrl-c is for this process, which then ends the others.
        command.process_group(0);
        // SAFETY: the closure makes one system call and allocates nothing.
        unsafe { command.pre_exec(die_with_parent) };
        let process = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name, process, log })
    }

    /// Runs a program to its end and returns what it said.
    pub(super) fn finish(
        name: &'static str,
        command: &mut Command,
        timeout: Duration,
    ) -> Result<String> {
        let mut service = Self::start(name, command)?;
        let mut ended = None;
        wait(timeout, || {
            ended = service.process.try_wait()?;
            Ok(ended.is_some())
        })
        .with_context(|| format!("{name} did not end"))?;
        match ended {
            Some(status) if status.success() => Ok(service.said()),
            _ => bail!(service.ended(ended)),
        }
    }

    /// Its process id.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// All it has said.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it is ready, and fails when it ends before.
    pub(super) fn wait_until(
        &mut self,
        timeout: Duration,
        mut is_ready: impl FnMut(&Self) -> bool,
    ) -> Result<()> {
        let name = self.name;
        wait(timeout, || {
            self.check()?;
            Ok(is_ready(self))
        })
        .with_context(|| format!("{name} is not ready"))
    }

    /// Fails when it has ended: what was measured then says nothing.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            Some(status) => bail!(self.ended(Some(status))),
            None => Ok(()),
        }
    }

    /// Ends it, after a last look at whether it is still there.
    pub(super) fn stop(mut self) -> Result<()> {
        self.check()
    }

    fn ended(&self, status: Option<ExitStatus>) -> String {
        let said = self.said();
        let lines: Vec<&str> = said.lines().collect();
        let end = lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n");
        let status = status.map_or_else(String::new, |status| format!(", {status}"));
        format!("{} ended{status}; its last words:\n{end}", self.name)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Err(error) = signals::terminate(&mut self.process) {
            eprintln!("cannot end {}: {error}", self.name);
        }
    }
}

/// Has the kernel kill the calling process when its parent ends.
pub(super) fn die_with_parent() -> io::Result<()> {
    // SAFETY: takes integers only.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Waits for a while, unless somebody asks to stop.
pub(super) fn pause(time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        fail_if_stopped()?;
        thread::sleep(POLL.min(end.saturating_duration_since(Instant::now())));
    }
    Ok(())
}

fn wait(timeout: Duration, mut is_done: impl FnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + timeout;
    while !is_done()? {
        fail_if_stopped()?;
        if Instant::now() > end {
            bail!("nothing happened for {timeout:?}");
        }
        thread::sleep(POLL);
    }
    Ok(())
}

fn fail_if_stopped() -> Result<()> {
    if signals::asked_to_stop() {
        bail!("stopped as asked");
    }
    Ok(())
}
