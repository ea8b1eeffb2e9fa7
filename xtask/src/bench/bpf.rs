//! What the kernel counts of BPF programs.

use std::{
    collections::BTreeMap,
    fs, io,
    os::fd::{FromRawFd, OwnedFd},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::sysctl;
use crate::command;

/// `BPF_ENABLE_STATS`, and `BPF_STATS_RUN_TIME` for it.
const ENABLE_STATS: libc::c_int = 32;
static RUN_TIME: u32 = 0;

/// Fails when somebody has the kernel count: that slows down every program.
pub(super) fn require_statistics_off() -> Result<()> {
    const NAME: &str = "kernel/bpf_stats_enabled";
    if sysctl::read(NAME)? != "0" {
        bail!("{NAME} is on, which makes every program slower; set it to 0 (sysctl -w)");
    }
    Ok(())
}

/// Has the kernel count time and runs of programs as long as this lives. No setting is changed, so
/// none has to be restored.
pub(super) struct Statistics {
    _fd: OwnedFd,
}

impl Statistics {
    pub(super) fn enable() -> Result<Self> {
        #[expect(unsafe_code, reason = "libc has no wrapper for bpf")]
        // SAFETY: the attribute is as large as it is said to be and outlives the call, which returns
        // a descriptor that nobody else knows.
        let fd = unsafe {
            let fd =
                libc::syscall(libc::SYS_bpf, ENABLE_STATS, &raw const RUN_TIME, size_of::<u32>());
            if fd < 0 {
                return Err(io::Error::last_os_error()).context("cannot enable BPF statistics");
            }
            OwnedFd::from_raw_fd(fd as i32)
        };
        Ok(Self { _fd: fd })
    }
}

/// What a program did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Program {
    pub(super) time_ns: u64,
    pub(super) runs: u64,
}

/// The programs that a process holds, by id: others may have loaded some of the same names.
pub(super) fn programs(pid: u32) -> Result<BTreeMap<u32, Program>> {
    Ok(descriptors(pid)?.iter().filter_map(|info| program(info)).collect())
}

/// How many of its programs a process has attached by links.
pub(super) fn links(pid: u32) -> usize {
    let is_link = |info: &&String| number(info, "link_id").is_some();
    descriptors(pid).unwrap_or_default().iter().filter(is_link).count()
}

/// The name of a program.
pub(super) fn name(id: u32) -> Result<String> {
    let bpftool = command::find("bpftool").context("no program `bpftool`")?;
    let line =
        command::output(Command::new(bpftool).args(["prog", "show", "id", &id.to_string()]))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "name");
    Ok(words.nth(1).unwrap_or_default().to_owned())
}

/// What the kernel tells of each open file of a process.
fn descriptors(pid: u32) -> Result<Vec<String>> {
    let folder = format!("/proc/{pid}/fdinfo");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot list {folder}"))?;
    // A file may be closed while others are read.
    Ok(entries.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok()).collect())
}

fn program(info: &str) -> Option<(u32, Program)> {
    // Links have a program's id as well, but not its counters.
    number(info, "prog_type")?;
    let id = number(info, "prog_id")?.try_into().ok()?;
    Some((id, Program { time_ns: number(info, "run_time_ns")?, runs: number(info, "run_cnt")? }))
}

fn number(info: &str, name: &str) -> Option<u64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_told_from_links() {
        let info = "pos:\t0\nprog_type:\t26\nprog_id:\t7\nrun_time_ns:\t50\nrun_cnt:\t2\n";
        assert_eq!(program(info), Some((7, Program { time_ns: 50, runs: 2 })));
        assert_eq!(program("link_type:\ttracing\nlink_id:\t3\nprog_id:\t7\n"), None);
        assert_eq!(program("pos:\t0\n"), None);
    }
}
