//! The containers and units of one hierarchy, and what the files of their cgroups say.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Sink, decode::Values};
use crate::{
    attribution::{CgroupMount, Group, Places, SEARCH_LIMIT},
    metric::MetricDesc,
    pace::Pace,
    sample::Attributes,
};

/// The least time between two readings, and between two searches for containers and units: a little
/// less than whole seconds, as a tick that comes a moment early must not have to wait for the next.
const READ_INTERVAL: Duration = Duration::from_millis(900);
const SEARCH_INTERVAL: Duration = Duration::from_millis(4500);

/// How many cgroups of containers and units are read.
const READ_LIMIT: usize = 2048;

/// What is watched in one hierarchy.
pub(super) struct Watch {
    mount: CgroupMount,
    sources: Vec<Source>,
    /// By their path below the mount.
    pub(super) watched: HashMap<String, Watched>,
    pub(super) read_limit: usize,
    pub(super) search_limit: usize,
    pub(super) search: Pace,
    pub(super) read: Pace,
    /// Whether there was a search.
    searched: bool,
    /// Whether all that were there at the last search are watched: one that comes after is new.
    has_all: bool,
    /// Containers and units beyond the limit.
    left_out: usize,
    /// Readings that were not made of those.
    unread: u64,
    /// Searches that did not come to every cgroup.
    cut_searches: u64,
}

/// Files that together say one thing.
pub(super) struct Source {
    what: &'static str,
    files: Vec<File>,
    /// Whether any cgroup had any of them, and otherwise why not.
    found: bool,
    reason: Option<String>,
}

/// A file that every cgroup may have.
pub(super) struct File {
    pub(super) name: &'static str,
    pub(super) decode: fn(&str) -> Option<Values>,
    pub(super) counters: Vec<(&'static MetricDesc, Attributes)>,
}

/// The cgroup of a container or unit.
pub(super) struct Watched {
    directory: PathBuf,
    group: Arc<Group>,
    /// What each file said, by source and file.
    last: Vec<Option<Reading>>,
    /// Whether it was made while we were watching: then all that it counts is news.
    new: bool,
}

/// What a file said.
#[derive(Clone, Copy)]
struct Reading {
    /// Its inode number, which is another when the cgroup was removed and made again.
    inode: u64,
    values: Values,
}

impl Reading {
    /// Whether a later one is of the same counters.
    fn goes_on(&self, later: &Self) -> bool {
        let has_grown = self.values.iter().zip(later.values).all(|(before, now)| now >= *before);
        self.inode == later.inode && has_grown
    }
}

impl Watch {
    pub(super) fn new(mount: CgroupMount, source: Source) -> Self {
        Self {
            mount,
            sources: vec![source],
            watched: HashMap::new(),
            read_limit: READ_LIMIT,
            search_limit: SEARCH_LIMIT,
            search: Pace::new(SEARCH_INTERVAL),
            read: Pace::new(READ_INTERVAL),
            searched: false,
            has_all: false,
            left_out: 0,
            unread: 0,
            cut_searches: 0,
        }
    }

    pub(super) fn mount(&self) -> &CgroupMount {
        &self.mount
    }

    pub(super) fn add(&mut self, source: Source) {
        self.sources.push(source);
    }

    /// Searches and reads, when that is due.
    pub(super) fn collect(&mut self, places: &mut Places, sink: &mut Sink<'_>) {
        if self.search.is_due() {
            let began = Instant::now();
            self.search(places);
            self.search.done(began);
        }
        if self.read.is_due() {
            let began = Instant::now();
            self.read(sink);
            self.read.done(began);
        }
    }

    /// Readings that were not made, as there are too many containers and units.
    pub(super) fn unread(&self) -> u64 {
        self.unread
    }

    /// Searches that did not come to every cgroup.
    pub(super) fn cut_searches(&self) -> u64 {
        self.cut_searches
    }

    /// What is not measured, in sentences.
    pub(super) fn absent(&self) -> impl Iterator<Item = String> {
        let sources = self.sources.iter().filter(|source| !source.found && self.searched);
        sources.map(|source| {
            let reason = source.reason.clone().unwrap_or_else(|| {
                let directory = self.mount.directory().display();
                format!("none of the cgroups below {directory} is that of a container or unit")
            });
            format!("{} not measured: {reason}", source.what)
        })
    }

    /// Finds the containers and units there are now.
    fn search(&mut self, places: &mut Places) {
        let mut before = std::mem::take(&mut self.watched);
        let (mut others, mut too_many) = (Vec::new(), 0);
        let mount = &self.mount;
        let is_complete = mount.walk(self.search_limit, &mut |_, below| {
            if let Some((below, known)) = before.remove_entry(below) {
                self.watched.insert(below, known);
            } else if let Some(group) = places.group(&mount.full_path(below)) {
                if others.len() < self.read_limit {
                    others.push((below.to_owned(), group));
                } else {
                    too_many += 1;
                }
            }
        });
        if !is_complete {
            self.cut_searches += 1;
            // What the search did not come to goes on, as long as it is there.
            before.retain(|_, watched| watched.directory.is_dir());
            self.watched.extend(before);
        }
        // Those that are known come first: what one counted that comes and goes would be lost.
        let room = self.read_limit.saturating_sub(self.watched.len());
        self.left_out = too_many + others.len().saturating_sub(room);
        let files = self.sources.iter().map(|source| source.files.len()).sum();
        for (below, group) in others.into_iter().take(room) {
            let directory = mount.directory().join(&below);
            let last = vec![None; files];
            self.watched.insert(below, Watched { directory, group, last, new: self.has_all });
        }
        self.searched = true;
        self.has_all = is_complete && self.left_out == 0;
    }

    /// Reads all files, and tells what has changed.
    fn read(&mut self, sink: &mut Sink<'_>) {
        self.unread += self.left_out as u64;
        let mut text = String::new();
        for Watched { directory, group, last, new } in self.watched.values_mut() {
            let mut last = last.iter_mut();
            for source in &mut self.sources {
                for (file, last) in source.files.iter().zip(last.by_ref()) {
                    match file.read(directory, &mut text) {
                        Ok(now) => {
                            source.found = true;
                            file.tell(
                                last.replace(now),
                                now,
                                *new,
                                &mut |metric, attributes, by| {
                                    sink(group, metric, attributes, by);
                                },
                            );
                        }
                        Err(reason) => source.reason = Some(reason),
                    }
                }
            }
        }
    }
}

impl Source {
    pub(super) fn new(what: &'static str, files: Vec<File>) -> Self {
        Self { what, files, found: false, reason: None }
    }
}

impl File {
    /// What the file in a cgroup's directory says; otherwise why it says nothing, in a sentence.
    fn read(&self, directory: &Path, text: &mut String) -> Result<Reading, String> {
        let path = directory.join(self.name);
        // It may have been removed a moment ago.
        let inode = read(&path, text)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let values = (self.decode)(text).ok_or_else(|| {
            format!("{} has no such numbers; turn its controller on", path.display())
        })?;
        Ok(Reading { inode, values })
    }

    /// Tells by how much its counters have gone up since the reading before, if there was one; when
    /// the cgroup is `new`, since it was made.
    fn tell(
        &self,
        before: Option<Reading>,
        now: Reading,
        new: bool,
        sink: &mut dyn FnMut(&'static MetricDesc, &Attributes, u64),
    ) {
        let base = match before {
            Some(before) if before.goes_on(&now) => before.values,
            // Another cgroup of the same name, as of a unit that was restarted, or a controller that was
            // turned off and on.
            Some(_) => Values::default(),
            None if new => Values::default(),
            None => now.values,
        };
        for (index, (metric, attributes)) in self.counters.iter().enumerate() {
            let increase = now.values[index].saturating_sub(base[index]);
            if before.is_none() || increase > 0 {
                sink(metric, attributes, increase);
            }
        }
    }
}

/// Reads a file, and tells its inode number.
fn read(path: &Path, text: &mut String) -> io::Result<u64> {
    text.clear();
    let mut file = fs::File::open(path)?;
    file.read_to_string(text)?;
    Ok(file.metadata()?.ino())
}
