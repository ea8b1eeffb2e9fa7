//! The running daemon.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::signals;

/// Where the daemon listens unless told otherwise.
pub(crate) const ADDRESS: &str = "127.0.0.1:9464";
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// How many lines of the log tell what went wrong.
const LAST_WORDS: usize = 10;

/// Fails when something listens there already: it would answer in the daemon's place.
pub(crate) fn address_is_free() -> Result<()> {
    TcpListener::bind(ADDRESS).map(drop).with_context(|| {
        format!("cannot listen on {ADDRESS}; stop what does, such as another monitor")
    })
}

pub(crate) struct Daemon {
    process: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts it, with all that it says going to `log`.
    pub(crate) fn start(program: &Path, arguments: &[String], log: PathBuf) -> Result<Self> {
        let file = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let process = Command::new(program)
            .arg("run")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            // Ctrl-c at the terminal is not for it: it ends after the table does.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { process, log })
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// Fails when it has ended.
    pub(crate) fn check(&mut self) -> Result<()> {
        if let Some(status) = self.process.try_wait()? {
            bail!("the daemon ended, {status}{}", self.last_words());
        }
        Ok(())
    }

    /// Whether it has its first numbers.
    pub(crate) fn is_ready(&self) -> bool {
        let ask = || -> io::Result<String> {
            let mut stream = TcpStream::connect(ADDRESS)?;
            stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
            write!(stream, "GET /ready HTTP/1.1\r\nHost: {ADDRESS}\r\nConnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    }

    /// The end of its log, for an error message.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = &lines[lines.len().saturating_sub(LAST_WORDS)..];
        format!("; the end of {}:\n{}", self.log.display(), end.join("\n"))
    }

    /// Ends it.
    pub(crate) fn stop(mut self) -> Result<()> {
        let status = signals::terminate(&mut self.process)?;
        if !status.success() {
            bail!("the daemon did not end well, {status}{}", self.last_words());
        }
        Ok(())
    }
}
