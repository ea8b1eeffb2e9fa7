//! The kernel's own counters, from files of `/proc`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use super::comparison::COMPARISONS;
use crate::{
    host::{HostPaths, ProcFile},
    kernel::disk,
};

/// A counter of the kernel.
pub(super) struct Counter {
    pub(super) file: File,
    /// What is added up in the file.
    pub(super) names: &'static [&'static str],
    /// What is subtracted: a part of it that is not measured.
    pub(super) except: &'static [&'static str],
    /// What one of it is, in the unit of what is measured.
    pub(super) unit: u64,
}

/// A file with counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum File {
    Stat,
    Vmstat,
    /// Only with `CONFIG_SCHEDSTATS`.
    Schedstat,
    Diskstats,
    /// `netstat`, `snmp` and `snmp6`, of every network namespace.
    Network,
}

/// What one reading found: for each comparison the counter's value by subject, a device or a network
/// namespace; nothing where the counter cannot be read.
pub(super) type Reading = Vec<Option<BTreeMap<String, u64>>>;

/// Reads them.
pub(super) struct Counters {
    files: Vec<(File, ProcFile)>,
    proc: PathBuf,
    /// Has an entry for each whole device.
    block: PathBuf,
    /// Network namespaces, each with a process in it.
    namespaces: BTreeMap<String, String>,
    unavailable: HashMap<File, String>,
}

impl File {
    /// Those of which there is one.
    const SINGLE: [Self; 4] = [Self::Stat, Self::Vmstat, Self::Schedstat, Self::Diskstats];

    /// Where it is by the kernel's documentation.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Stat => "/proc/stat",
            Self::Vmstat => "/proc/vmstat",
            Self::Schedstat => "/proc/schedstat",
            Self::Diskstats => "/proc/diskstats",
            Self::Network => "/proc/PID/net/snmp",
        }
    }

    /// Hands on what a file of this kind says, as `(device, name, value)`.
    fn parse(self, text: &str, sink: &mut dyn FnMut(&str, &str, u64)) {
        let mut header = "";
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let mut next = || words.next().unwrap_or_default();
            let number = |word: &str| word.parse::<u64>().ok();
            match self {
                Self::Schedstat => {
                    // The last of nine numbers of each CPU, in every version of the file.
                    let is_cpu = next().starts_with("cpu");
                    if let Some(value) = words.nth(8).and_then(number).filter(|_| is_cpu) {
                        sink("", "runs", value);
                    }
                }
                Self::Diskstats => {
                    let (Some(device), columns) = (words.nth(2), words) else { continue };
                    for (name, word) in COLUMNS.iter().zip(columns) {
                        if let Some(value) = number(word) {
                            sink(device, name, value);
                        }
                    }
                }
                // A line with names, and one with values.
                Self::Network if line.contains(':') => {
                    if header.is_empty() {
                        header = line;
                        continue;
                    }
                    let protocol = next().trim_end_matches(':');
                    for (name, word) in header.split_ascii_whitespace().skip(1).zip(words) {
                        if let Some(value) = number(word) {
                            sink("", &format!("{protocol}{name}"), value);
                        }
                    }
                    header = "";
                }
                Self::Stat | Self::Vmstat | Self::Network => {
                    let name = next();
                    if let Some(value) = number(next()) {
                        sink("", name, value);
                    }
                }
            }
        }
    }
}

/// The columns of `/proc/diskstats` behind a device's name.
const COLUMNS: [&str; 14] = [
    "reads",
    "reads merged",
    "sectors read",
    "ms reading",
    "writes",
    "writes merged",
    "sectors written",
    "ms writing",
    "in flight",
    "ms active",
    "ms weighted",
    "discards",
    "discards merged",
    "sectors discarded",
];

impl Counters {
    pub(super) fn new(paths: &HostPaths) -> Self {
        let file = |file: File| {
            let name = Path::new(file.path()).file_name().unwrap_or_default();
            (file, ProcFile::new(paths.proc.join(name)))
        };
        Self {
            files: File::SINGLE.map(file).into(),
            proc: paths.proc.clone(),
            block: paths.sys.join("block"),
            namespaces: BTreeMap::new(),
            unavailable: HashMap::new(),
        }
    }

    /// Looks for the network namespaces that processes are in.
    pub(super) fn find_namespaces(&mut self) {
        self.namespaces.clear();
        for process in fs::read_dir(&self.proc).into_iter().flatten().flatten() {
            let Ok(pid) = process.file_name().into_string() else { continue };
            if pid.starts_with(|first: char| first.is_ascii_digit())
                && let Ok(namespace) = fs::read_link(process.path().join("ns/net"))
            {
                self.namespaces.entry(namespace.display().to_string()).or_insert(pid);
            }
        }
    }

    /// All values now.
    pub(super) fn read(&mut self) -> Reading {
        let mut reading: Reading = COMPARISONS.iter().map(|_| None).collect();
        for (kind, file) in &mut self.files {
            let text = match file.read() {
                Ok(text) => text,
                Err(_) if *kind == File::Schedstat => {
                    let reason = "no /proc/schedstat to compare runs with; the kernel is built \
                                  without CONFIG_SCHEDSTATS";
                    self.unavailable.insert(*kind, reason.to_owned());
                    continue;
                }
                Err(error) => {
                    self.unavailable.insert(*kind, error.to_string());
                    continue;
                }
            };
            self.unavailable.remove(kind);
            let mut accounted = HashMap::new();
            take(&mut reading, *kind, text, |device| {
                let is_accounted = || device.is_empty() || is_accounted(&self.block, device);
                let known = accounted.entry(device.to_owned()).or_insert_with(is_accounted);
                known.then(|| disk::visible(device).into_owned())
            });
        }
        for (namespace, pid) in &self.namespaces {
            let net = self.proc.join(pid).join("net");
            let read = |name: &str| fs::read_to_string(net.join(name));
            // What is subtracted comes first, so that it never exceeds what it is a part of. Without either
            // file the process has ended: its namespace is left out of this round.
            let (Ok(netstat), Ok(snmp)) = (read("netstat"), read("snmp")) else { continue };
            // Without IPv6 there is no such file.
            let text = netstat + &snmp + &read("snmp6").unwrap_or_default();
            take(&mut reading, File::Network, &text, |_| Some(namespace.clone()));
        }
        reading
    }

    /// Which files cannot be read, and why.
    pub(super) fn unavailable(&self) -> impl Iterator<Item = &str> {
        self.unavailable.values().map(String::as_str)
    }
}

/// Adds what a file says to the reading; `subject` says what a line's device counts for, if anything.
fn take(
    reading: &mut Reading,
    file: File,
    text: &str,
    mut subject: impl FnMut(&str) -> Option<String>,
) {
    let mut wanted: Vec<_> = COMPARISONS
        .iter()
        .map(|comparison| &comparison.counter)
        .zip(reading)
        .filter(|(counter, _)| counter.file == file)
        .map(|(counter, values)| (counter, values.get_or_insert_default()))
        .collect();
    file.parse(text, &mut |device, name, value| {
        for (counter, values) in &mut wanted {
            let is_excepted = counter.except.contains(&name);
            if (is_excepted || counter.names.contains(&name))
                && let Some(subject) = subject(device)
            {
                let sum = values.entry(subject).or_default();
                let value = value * counter.unit;
                *sum = if is_excepted { sum.wrapping_sub(value) } else { sum.wrapping_add(value) };
            }
        }
    });
}

/// Whether the kernel counts the requests of a device: it is a whole one, has requests at all, which
/// those made of others have not, and accounting is not switched off.
fn is_accounted(block: &Path, device: &str) -> bool {
    let device = block.join(device.replace('/', "!"));
    device.join("mq").exists()
        && fs::read(device.join("queue/iostats")).is_ok_and(|value| value.starts_with(b"1"))
}
