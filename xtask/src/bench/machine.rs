//! The machine that is measured.

use std::{env::consts::ARCH, fs, process::Command, thread};

use anyhow::{Context, Result};

use super::sysctl;
use crate::command;

/// What to know of the machine to judge a number.
pub(super) struct Machine {
    /// The model, where the architecture has one.
    pub(super) cpu: String,
    pub(super) cpus: usize,
    pub(super) kernel: String,
    pub(super) date: String,
}

impl Machine {
    pub(super) fn inspect() -> Result<Self> {
        let info = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let model = info.lines().find_map(|line| line.strip_prefix("model name"));
        Ok(Self {
            cpu: model.map_or(ARCH, |model| model.trim_matches([' ', '\t', ':'])).to_owned(),
            cpus: thread::available_parallelism()?.get(),
            kernel: sysctl::read("kernel/osrelease")?,
            date: command::output(Command::new("date").args(["--utc", "+%F"]))?,
        })
    }
}

/// How many processes there are, threads of the kernel among them.
pub(super) fn processes() -> Result<usize> {
    let entries = fs::read_dir("/proc").context("cannot list /proc")?;
    let is_process = |name: &[u8]| name.iter().all(u8::is_ascii_digit);
    Ok(entries.flatten().filter(|entry| is_process(entry.file_name().as_encoded_bytes())).count())
}
