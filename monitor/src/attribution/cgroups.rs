//! From the id of a cgroup to the place it is.
//!
//! The id is the inode number of the cgroup's directory. The kernel has no call that goes from one
//! to the other. All cgroups are looked up once at start, and each later one is remembered when the
//! `cgroup` probe reports its creation. Where that fails, a process of the cgroup is asked, by its
//! `/proc/<pid>/cgroup`; when it is gone already, the hierarchy is searched.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::cache::Cache;
use super::hierarchy::{CgroupMount, SEARCH_LIMIT};
use super::place::Place;
use crate::rate_limit::{CpuTime, RateLimit};

/// How many cgroups are remembered.
const CAPACITY: usize = 16_384;
/// The least time between two searches.
const SEARCH_INTERVAL: Duration = Duration::from_secs(1);
/// How long a cgroup that no search found is taken to be gone.
const MISSING_FOR: Duration = Duration::from_secs(60);

/// No cgroup has this id.
const NO_CGROUP: u64 = 0;

/// What is known of a cgroup.
#[derive(Clone, Debug)]
pub(super) enum Lookup {
    /// Where it is.
    Found(Arc<Place>),
    /// That it was not found, and when it is worth asking again.
    Missing(Instant),
}

/// The cgroups of one hierarchy.
#[derive(Debug)]
pub(super) struct Cgroups {
    mount: CgroupMount,
    proc: PathBuf,
    known: Cache<u64, Known>,
    searched: Option<Instant>,
    /// A host may make and remove cgroups all the time.
    rate_limit: RateLimit,
}

#[derive(Clone, Debug)]
enum Known {
    Place(Arc<Place>),
    /// Asked for first at this time, and not found.
    Missing(Instant),
}

impl Cgroups {
    pub(super) fn new(mount: CgroupMount, proc: PathBuf) -> Self {
        Self {
            mount,
            proc,
            known: Cache::new(CAPACITY),
            searched: None,
            rate_limit: RateLimit::new(SEARCH_INTERVAL),
        }
    }

    /// Where the cgroup `id` is. `pid` is a process in it, or 0 when there is none any more.
    pub(super) fn place(&mut self, id: u64, pid: u32) -> Lookup {
        let now = Instant::now();
        let asked = match self.known.get(&id) {
            Some(Known::Place(place)) => return Lookup::Found(place),
            Some(Known::Missing(asked)) if now < asked + MISSING_FOR => asked,
            _ => {
                if let Some(place) = self.ask_process(id, pid) {
                    return Lookup::Found(place);
                }
                self.known.insert(id, Known::Missing(now));
                now
            }
        };
        if self.searched_since(asked) {
            return Lookup::Missing(asked + MISSING_FOR);
        }
        if !self.rate_limit.is_due() {
            return Lookup::Missing(self.rate_limit.next());
        }
        match self.search_for(id) {
            Some(place) => Lookup::Found(place),
            None => Lookup::Missing(asked + MISSING_FOR),
        }
    }

    /// Visits the whole hierarchy and remembers all of it.
    pub(super) fn search(&mut self) {
        self.search_for(NO_CGROUP);
    }

    fn searched_since(&self, time: Instant) -> bool {
        self.searched.is_some_and(|searched| searched >= time)
    }

    /// Asks the process. Its PID may have been given to another since, or may be one of another PID
    /// namespace, so the directory must have the right inode number.
    fn ask_process(&mut self, id: u64, pid: u32) -> Option<Arc<Place>> {
        if pid == 0 {
            return None;
        }
        let cgroups = fs::read(self.proc.join(pid.to_string()).join("cgroup")).ok()?;
        let cgroups = String::from_utf8_lossy(&cgroups);
        let below = self.mount.below(self.mount.path_of(&cgroups)?)?;
        let directory = fs::metadata(self.mount.directory.join(below)).ok()?;
        (directory.ino() == id).then(|| self.learn(id, below))
    }

    /// Visits the whole hierarchy and remembers all of it, so that one search does for all that is
    /// asked for. Returns what was wanted.
    fn search_for(&mut self, wanted: u64) -> Option<Arc<Place>> {
        let began = CpuTime::now();
        let mut found = None;
        let mount = self.mount.clone();
        // What it does not come to stays unresolved, and is counted as such.
        let _ = mount.walk(SEARCH_LIMIT, &mut |id, below| {
            if id == wanted {
                found = Some(below.to_owned());
            }
            self.learn_if_new(id, below);
        });
        self.searched = Some(Instant::now());
        self.rate_limit.done(began);
        // Where there are more cgroups than can be remembered, the search has forgotten its own first
        // finds by now.
        found.map(|below| self.learn(wanted, &below))
    }

    fn learn_if_new(&mut self, id: u64, below: &str) {
        if !matches!(self.known.get(&id), Some(Known::Place(_))) {
            self.learn(id, below);
        }
    }

    fn learn(&mut self, id: u64, below: &str) -> Arc<Place> {
        self.remember(id, &self.mount.full_path(below))
    }

    /// Remembers that the cgroup `id` is at `path`, from the root of the hierarchy.
    pub(super) fn remember(&mut self, id: u64, path: &str) -> Arc<Place> {
        let place = Arc::new(Place::from_path(path));
        self.known.insert(id, Known::Place(place.clone()));
        place
    }
}

#[cfg(test)]
mod tests;
