//! What the cgroups of containers and units say of themselves: how long they were kept from a CPU by
//! their quota, and how long they were stalled.

mod decode;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs, io,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use self::decode::Values;
use crate::{
    attribution::{CgroupMount, Group, Hierarchy, Places},
    host::HostPaths,
    metric::{
        CGROUP_CPU_PERIODS, CGROUP_CPU_THROTTLED_PERIODS, CGROUP_CPU_THROTTLED_TIME,
        CGROUP_PRESSURE_TIME, MetricDesc,
    },
    sample::Attributes,
};

/// The least time between two readings, and between two searches for containers and units.
const READ_INTERVAL: Duration = Duration::from_secs(1);
const SEARCH_INTERVAL: Duration = Duration::from_secs(5);

/// How many times as long as it took waits what comes next, so that each costs 1 % of a CPU at most.
const SHARE: u32 = 100;

/// How many cgroups a search visits, and how many of containers and units are read.
const SEARCH_LIMIT: usize = 65_536;
const READ_LIMIT: usize = 2048;

/// Takes by how much a counter of a container or unit has gone up.
pub type Sink<'a> = dyn FnMut(&Arc<Group>, &'static MetricDesc, &Attributes, u64) + 'a;

/// All that is read.
pub struct Cgroups {
    places: Places,
    sources: Vec<Source>,
    /// What this host does not have, in sentences.
    absent: Vec<String>,
}

/// Files of one kind, in the cgroups of one hierarchy.
struct Source {
    what: &'static str,
    mount: CgroupMount,
    files: Vec<File>,
    read_limit: usize,
    /// By their path below the mount.
    watched: HashMap<String, Watched>,
    /// Containers and units beyond the limit.
    left_out: usize,
    /// Readings that were not made of those.
    lost: u64,
    searched: bool,
    next_search: Instant,
    next_read: Instant,
    /// Whether any cgroup had any of the files, and otherwise why not.
    found: bool,
    reason: Option<String>,
}

struct File {
    name: &'static str,
    decode: fn(&str) -> Option<Values>,
    counters: Vec<(&'static MetricDesc, Attributes)>,
}

/// The cgroup of a container or unit.
struct Watched {
    directory: PathBuf,
    group: Arc<Group>,
    /// What each file had, with its inode number.
    last: Vec<Option<(u64, Values)>>,
    /// Whether it was made while we were watching: then all that it counts is news.
    new: bool,
}

impl Cgroups {
    /// Everything that can be read on the host that is seen at `paths`. `mount` is where its containers
    /// and units are.
    pub fn new(paths: &HostPaths, mount: Option<&CgroupMount>) -> Self {
        let mut cgroups =
            Self { places: Places::new(paths), sources: Vec::new(), absent: Vec::new() };
        let sources = [(THROTTLING, throttling(mount)), (PRESSURE, pressure(paths))];
        for (what, source) in sources {
            match source {
                Ok(source) => cgroups.sources.push(source),
                Err(reason) => cgroups.absent.push(format!("{what} not measured: {reason}")),
            }
        }
        cgroups
    }

    /// Reads what is due, and tells what has changed.
    pub fn collect(&mut self, sink: &mut Sink<'_>) {
        for source in &mut self.sources {
            let now = Instant::now();
            if now >= source.next_search {
                source.search(&mut self.places);
                source.next_search = after(now, SEARCH_INTERVAL);
            }
            let now = Instant::now();
            if now >= source.next_read {
                source.read(sink);
                source.next_read = after(now, READ_INTERVAL);
            }
        }
    }

    /// What is not measured as this host has nothing of the kind, in sentences.
    pub fn absent(&self) -> impl Iterator<Item = String> {
        self.absent.iter().cloned().chain(self.sources.iter().filter_map(Source::absent))
    }

    /// Readings that were not made, as there are too many containers and units.
    pub fn lost(&self) -> u64 {
        self.sources.iter().map(|source| source.lost).sum()
    }
}

/// When to do again what was begun at a time and has just ended.
fn after(began: Instant, interval: Duration) -> Instant {
    // A tick that comes a moment early must not have to wait for the next.
    began + (interval * 9 / 10).max(began.elapsed() * SHARE)
}

const THROTTLING: &str = "throttling of cgroups";
const PRESSURE: &str = "pressure on cgroups";

fn throttling(mount: Option<&CgroupMount>) -> Result<Source, String> {
    let mount = mount.filter(|mount| {
        matches!(mount.hierarchy, Hierarchy::V2 | Hierarchy::V1 { controller: "cpu" })
    });
    let mount =
        mount.ok_or("no hierarchy of the cpu controller is mounted; mount /sys/fs/cgroup")?;
    let metrics = [&CGROUP_CPU_PERIODS, &CGROUP_CPU_THROTTLED_PERIODS, &CGROUP_CPU_THROTTLED_TIME];
    let file = File {
        name: "cpu.stat",
        decode: decode::throttling,
        counters: metrics.map(|metric| (metric, Attributes::default())).into(),
    };
    Ok(Source::new(THROTTLING, mount.clone(), vec![file]))
}

fn pressure(paths: &HostPaths) -> Result<Source, String> {
    let witness = paths.proc.join("pressure/cpu");
    if let Err(error) = fs::read(&witness) {
        let remedy = "boot a kernel that has CONFIG_PSI with psi=1";
        return Err(format!("cannot read {}: {error}; {remedy}", witness.display()));
    }
    let mount = CgroupMount::version_2(paths);
    let mount = mount.ok_or("only cgroups of version 2 have it, and none are mounted")?;
    let file = |name, resource| {
        let attributes = |kind| {
            Attributes::new([
                ("monitor.pressure.resource", resource),
                ("monitor.pressure.stall_type", kind),
            ])
        };
        let counters = ["some", "full"].map(|kind| (&CGROUP_PRESSURE_TIME, attributes(kind)));
        File { name, decode: decode::pressure, counters: counters.into() }
    };
    let files = [("cpu.pressure", "cpu"), ("io.pressure", "io"), ("memory.pressure", "memory")];
    Ok(Source::new(PRESSURE, mount, files.map(|(name, resource)| file(name, resource)).into()))
}

impl Source {
    fn new(what: &'static str, mount: CgroupMount, files: Vec<File>) -> Self {
        let now = Instant::now();
        Self {
            what,
            mount,
            files,
            read_limit: READ_LIMIT,
            watched: HashMap::new(),
            left_out: 0,
            lost: 0,
            searched: false,
            next_search: now,
            next_read: now,
            found: false,
            reason: None,
        }
    }

    /// Finds the containers and units there are now.
    fn search(&mut self, places: &mut Places) {
        let mut before = std::mem::take(&mut self.watched);
        self.left_out = 0;
        let Self { mount, files, watched, left_out, searched, .. } = self;
        mount.walk(SEARCH_LIMIT, &mut |_, below| {
            let Some(group) = places.group(&mount.full_path(below)) else { return };
            if watched.len() >= self.read_limit {
                *left_out += 1;
                return;
            }
            let known = before.remove(below).unwrap_or_else(|| Watched {
                directory: mount.directory().join(below),
                group,
                last: vec![None; files.len()],
                new: *searched,
            });
            watched.insert(below.to_owned(), known);
        });
        *searched = true;
    }

    fn read(&mut self, sink: &mut Sink<'_>) {
        self.lost += self.left_out as u64;
        let mut text = String::new();
        for watched in self.watched.values_mut() {
            for (file, last) in self.files.iter().zip(&mut watched.last) {
                let path = watched.directory.join(file.name);
                let inode = match read(&path, &mut text) {
                    Ok(inode) => inode,
                    // It may have been removed a moment ago.
                    Err(error) => {
                        self.reason = Some(format!("cannot read {}: {error}", path.display()));
                        continue;
                    }
                };
                let Some(values) = (file.decode)(&text) else {
                    let path = path.display();
                    self.reason =
                        Some(format!("{path} has no such numbers; turn its controller on"));
                    continue;
                };
                self.found = true;
                let base = match *last {
                    Some((same, values)) if same == inode => values,
                    // Another cgroup of the same name, as of a unit that was restarted.
                    Some(_) => Values::default(),
                    None if watched.new => Values::default(),
                    None => values,
                };
                let first = last.replace((inode, values)).is_none();
                for (index, (metric, attributes)) in file.counters.iter().enumerate() {
                    let increase = values[index].saturating_sub(base[index]);
                    if first || increase > 0 {
                        sink(&watched.group, metric, attributes, increase);
                    }
                }
            }
        }
    }

    fn absent(&self) -> Option<String> {
        let reason = match &self.reason {
            _ if self.found || !self.searched => return None,
            Some(reason) => reason.clone(),
            None => {
                let directory = self.mount.directory().display();
                format!("none of the cgroups below {directory} is that of a container or unit")
            }
        };
        Some(format!("{} not measured: {reason}", self.what))
    }
}

/// Reads a file, and tells its inode number.
fn read(path: &Path, text: &mut String) -> io::Result<u64> {
    text.clear();
    let mut file = fs::File::open(path)?;
    file.read_to_string(text)?;
    Ok(file.metadata()?.ino())
}
