//! The kernel's own counters, from files of `/proc`.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use super::comparison::COMPARISONS;
use crate::host::{HostPaths, ProcFile};

/// A counter of the kernel.
pub(super) struct Counter {
    pub(super) file: File,
    /// What is added up in the file.
    pub(super) names: &'static [&'static str],
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
}

/// What one reading found: for each comparison the counter's value by subject; nothing where the
/// counter cannot be read.
pub(super) type Reading = Vec<Option<BTreeMap<String, u64>>>;

/// Reads them.
pub(super) struct Counters {
    files: Vec<(File, ProcFile)>,
    /// Has an entry for each whole device.
    block: PathBuf,
    unavailable: HashMap<File, String>,
}

impl File {
    const ALL: [Self; 4] = [Self::Stat, Self::Vmstat, Self::Schedstat, Self::Diskstats];

    /// Where it is by the kernel's documentation.
    pub(super) const fn path(self) -> &'static str {
        match self {
            Self::Stat => "/proc/stat",
            Self::Vmstat => "/proc/vmstat",
            Self::Schedstat => "/proc/schedstat",
            Self::Diskstats => "/proc/diskstats",
        }
    }

    /// Hands on what a file of this kind says, as `(subject, name, value)`.
    fn parse(self, text: &str, sink: &mut dyn FnMut(&str, &str, u64)) {
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let mut next = || words.next().unwrap_or_default();
            let number = |word: &str| word.parse::<u64>().ok();
            match self {
                Self::Stat | Self::Vmstat => {
                    let name = next();
                    if let Some(value) = number(next()) {
                        sink("", name, value);
                    }
                }
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
            files: File::ALL.map(file).into(),
            block: paths.sys.join("block"),
            unavailable: HashMap::new(),
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
            let mut wanted: Vec<_> = COMPARISONS
                .iter()
                .map(|comparison| &comparison.counter)
                .zip(&mut reading)
                .filter(|(counter, _)| counter.file == *kind)
                .map(|(counter, values)| (counter, values.insert(BTreeMap::new())))
                .collect();
            let mut accounted = HashMap::new();
            kind.parse(text, &mut |subject, name, value| {
                for (counter, values) in &mut wanted {
                    if counter.names.contains(&name)
                        && (subject.is_empty()
                            || *accounted
                                .entry(subject.to_owned())
                                .or_insert_with(|| is_accounted(&self.block, subject)))
                    {
                        *values.entry(subject.to_owned()).or_default() += value * counter.unit;
                    }
                }
            });
        }
        reading
    }

    /// Which files cannot be read, and why.
    pub(super) fn unavailable(&self) -> impl Iterator<Item = &str> {
        self.unavailable.values().map(String::as_str)
    }
}

/// Whether the kernel counts the requests of a device: it is a whole one, has requests at all, which
/// those made of others have not, and accounting is not switched off.
fn is_accounted(block: &Path, device: &str) -> bool {
    let device = block.join(device.replace('/', "!"));
    device.join("mq").exists()
        && fs::read(device.join("queue/iostats")).is_ok_and(|value| value.starts_with(b"1"))
}
