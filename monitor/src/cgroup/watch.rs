//! The containers and units of one hierarchy, and what the files of their cgroups say.

use std::{
    collections::{HashMap, HashSet},
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Sink, decode::Values};
use crate::{
    attribution::{CgroupMount, Group, Places, SEARCH_LIMIT},
    metric::MetricDesc,
    rate_limit::{CpuTime, RateLimit},
    sample::{Attributes, CgroupChange, CgroupEvent},
};

/// The least time between two readings, and between two searches for containers and units: a little
/// less than whole seconds, as a tick that comes a moment early must not have to wait for the next.
const READ_INTERVAL: Duration = Duration::from_millis(900);
const SEARCH_INTERVAL: Duration = Duration::from_millis(4500);
/// The most time between two readings, whatever they cost.
const READ_LONGEST: Duration = Duration::from_secs(15);

/// How many cgroups of containers and units are read.
const READ_LIMIT: usize = 2048;

/// What is watched in one hierarchy.
pub(super) struct Watch {
    mount: CgroupMount,
    sources: Vec<Source>,
    /// By the id of the cgroup.
    pub(super) watched: HashMap<u64, Watched>,
    /// Those that the last search did not find any more. The report of their end may be under way.
    gone: HashMap<u64, Watched>,
    pub(super) read_limit: usize,
    pub(super) search_limit: usize,
    pub(super) search: RateLimit,
    pub(super) read: RateLimit,
    /// When the last reading began.
    last_read: Option<Instant>,
    /// Whether there was a search.
    searched: bool,
    /// Whether all that were there at the last search are watched: one that comes after is new.
    has_all: bool,
    /// Containers and units beyond the limit, by the id of the cgroup.
    left_out: HashSet<u64>,
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
    /// The values at the end of a cgroup, if they are reported.
    pub(super) at_end: fn(&CgroupEvent) -> Option<Values>,
    pub(super) counters: Vec<(&'static MetricDesc, Attributes)>,
}

/// The cgroup of a container or unit.
pub(super) struct Watched {
    directory: PathBuf,
    group: Arc<Group>,
    /// What each file said, by source and file.
    last: Vec<Option<Values>>,
    /// Whether it was made while we were watching: then all that it counts is news.
    new: bool,
}

/// Whether a later reading is of the same counters.
fn goes_on(before: &Values, later: &Values) -> bool {
    before.iter().zip(later).all(|(before, later)| later >= before)
}

impl Watch {
    pub(super) fn new(mount: CgroupMount, source: Source) -> Self {
        Self {
            mount,
            sources: vec![source],
            watched: HashMap::new(),
            gone: HashMap::new(),
            read_limit: READ_LIMIT,
            search_limit: SEARCH_LIMIT,
            search: RateLimit::new(SEARCH_INTERVAL),
            read: RateLimit::with_limit(READ_INTERVAL, READ_LONGEST),
            last_read: None,
            searched: false,
            has_all: false,
            left_out: HashSet::new(),
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
            let began = CpuTime::now();
            self.search(places);
            self.search.done(began);
        }
        if self.read.is_due() {
            let began = CpuTime::now();
            self.last_read = Some(Instant::now());
            self.read(sink);
            self.read.done(began);
        }
    }

    /// Takes the report that a cgroup of this hierarchy was created or removed, and tells what one that
    /// was removed counted after it was last read.
    pub(super) fn changed(
        &mut self,
        change: &CgroupChange<'_>,
        places: &mut Places,
        sink: &mut Sink<'_>,
    ) {
        if change.what == CgroupEvent::Created {
            return self.created(change, places);
        }
        let known = self.watched.remove(&change.id).or_else(|| self.gone.remove(&change.id));
        let Some(Watched { group, last, new, .. }) = known else {
            self.unread += u64::from(self.left_out.remove(&change.id));
            return;
        };
        let files = self.sources.iter().flat_map(|source| &source.files);
        for (file, last) in files.zip(last) {
            if let Some(now) = (file.at_end)(&change.what) {
                file.tell(last, now, new, &mut |metric, attributes, by| {
                    sink(&group, metric, attributes, by);
                });
            }
        }
    }

    fn created(&mut self, change: &CgroupChange<'_>, places: &mut Places) {
        let Some(below) = self.mount.below(change.path) else { return };
        let Some(group) = places.group(change.path) else { return };
        // A search may have come before the report.
        if self.watched.contains_key(&change.id) {
            return;
        }
        if self.watched.len() >= self.read_limit {
            self.left_out.insert(change.id);
            self.has_all = false;
        } else {
            self.left_out.remove(&change.id);
            self.watched.insert(change.id, self.watch(below, group, true));
        }
    }

    fn watch(&self, below: &str, group: Arc<Group>, new: bool) -> Watched {
        let files = self.sources.iter().map(|source| source.files.len()).sum();
        let directory = self.mount.directory().join(below);
        Watched { directory, group, last: vec![None; files], new }
    }

    /// How old the last reading is.
    pub(super) fn age(&self) -> Option<Duration> {
        self.last_read.map(|began| began.elapsed())
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
        let mut others = Vec::new();
        self.left_out.clear();
        let mount = &self.mount;
        let is_complete = mount.walk(self.search_limit, &mut |id, below| {
            if let Some(known) = before.remove(&id) {
                self.watched.insert(id, known);
            } else if let Some(group) = places.group(&mount.full_path(below)) {
                if others.len() < self.read_limit {
                    others.push((id, below.to_owned(), group));
                } else {
                    self.left_out.insert(id);
                }
            }
        });
        if !is_complete {
            self.cut_searches += 1;
            // What the search did not come to goes on, as long as it is there.
            self.watched.extend(before.extract_if(|id, watched| watched.exists(*id)));
        }
        self.gone = before;
        // Those that are known come first: what one counted that comes and goes would be lost.
        let room = self.read_limit.saturating_sub(self.watched.len());
        self.left_out.extend(others.iter().skip(room).map(|(id, ..)| *id));
        for (id, below, group) in others.into_iter().take(room) {
            let watched = self.watch(&below, group, self.has_all);
            self.watched.insert(id, watched);
        }
        self.searched = true;
        self.has_all = is_complete && self.left_out.is_empty();
    }

    /// Reads all files, and tells what has changed.
    fn read(&mut self, sink: &mut Sink<'_>) {
        self.unread += self.left_out.len() as u64;
        let mut text = String::new();
        let mut readings = Vec::new();
        for (id, watched) in &mut self.watched {
            readings.clear();
            let files = self.sources.iter().flat_map(|source| &source.files);
            readings.extend(files.map(|file| file.read(&watched.directory, &mut text)));
            // Another may be there by now, as of a unit that was restarted. It is found by its own id.
            if !watched.exists(*id) {
                continue;
            }
            let Watched { group, last, new, .. } = watched;
            let mut last = last.iter_mut().zip(readings.drain(..));
            for source in &mut self.sources {
                for (file, (last, reading)) in source.files.iter().zip(last.by_ref()) {
                    match reading {
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

impl Watched {
    /// Whether the cgroup is still there, and none that was made after it.
    fn exists(&self, id: u64) -> bool {
        fs::metadata(&self.directory).is_ok_and(|directory| directory.ino() == id)
    }
}

impl Source {
    pub(super) fn new(what: &'static str, files: Vec<File>) -> Self {
        Self { what, files, found: false, reason: None }
    }
}

impl File {
    /// What the file in a cgroup's directory says; otherwise why it says nothing, in a sentence.
    fn read(&self, directory: &Path, text: &mut String) -> Result<Values, String> {
        let path = directory.join(self.name);
        text.clear();
        // It may have been removed a moment ago.
        fs::File::open(&path)
            .and_then(|mut file| file.read_to_string(text))
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        (self.decode)(text).ok_or_else(|| {
            format!("{} has no such numbers; turn its controller on", path.display())
        })
    }

    /// Tells by how much its counters have gone up since the reading before, if there was one; when
    /// the cgroup is `new`, since it was made.
    fn tell(
        &self,
        before: Option<Values>,
        now: Values,
        new: bool,
        sink: &mut dyn FnMut(&'static MetricDesc, &Attributes, u64),
    ) {
        let base = match before {
            Some(before) if goes_on(&before, &now) => before,
            // A controller that was turned off and on.
            Some(_) => Values::default(),
            None if new => Values::default(),
            None => now,
        };
        for (index, (metric, attributes)) in self.counters.iter().enumerate() {
            let increase = now[index].saturating_sub(base[index]);
            if before.is_none() || increase > 0 {
                sink(metric, attributes, increase);
            }
        }
    }
}
