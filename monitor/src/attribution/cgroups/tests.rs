//! On a tree of real directories, which has real inode numbers.

use std::fs;
use std::os::unix::fs::DirEntryExt;

use super::super::hierarchy::Hierarchy;
use super::*;
use crate::host::scratch::Scratch;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Tree {
    scratch: Scratch,
    cgroups: Cgroups,
}

impl Tree {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(&format!("cgroups-{name}"));
        scratch.directory("proc");
        scratch.directory("cgroup");
        let mount = CgroupMount {
            hierarchy: Hierarchy::V2,
            directory: scratch.path("cgroup"),
            root: String::new(),
        };
        let cgroups = Cgroups::new(mount, scratch.path("proc"));
        Self { scratch, cgroups }
    }

    /// Makes a cgroup and returns its id.
    fn cgroup(&self, path: &str) -> u64 {
        self.scratch.directory(&format!("cgroup{path}"))
    }

    /// Lets the process `pid` say that it is in `path`.
    fn process(&self, pid: u32, path: &str) {
        self.scratch.write(&format!("proc/{pid}/cgroup"), &format!("0::{path}\n"));
    }

    fn found(&mut self, id: u64, pid: u32) -> Option<Place> {
        match self.cgroups.place(id, pid) {
            Lookup::Found(place) => Some(Place::clone(&place)),
            Lookup::Missing(_) => None,
        }
    }

    fn searches(&self) -> bool {
        self.cgroups.searched.is_some()
    }
}

fn unit(name: &str) -> Option<Place> {
    Some(Place { unit: Some(name.into()), ..Place::default() })
}

#[test]
fn a_living_process_is_asked_and_nothing_searched() {
    let mut tree = Tree::new("process");
    let id = tree.cgroup("/system.slice/web.service");
    tree.process(7, "/system.slice/web.service");
    assert_eq!(tree.found(id, 7), unit("web.service"));
    assert!(!tree.searches());
    // Known from now on, whoever asks.
    fs::remove_dir_all(tree.scratch.path("proc/7")).unwrap();
    assert_eq!(tree.found(id, 0), unit("web.service"));
    assert!(!tree.searches());
}

#[test]
fn a_process_that_moved_or_is_another_by_now_is_not_believed() {
    let mut tree = Tree::new("moved");
    let web = tree.cgroup("/system.slice/web.service");
    tree.cgroup("/system.slice/db.service");
    tree.process(7, "/system.slice/db.service");
    assert_eq!(tree.found(web, 7), unit("web.service"), "found by a search");
    assert!(tree.searches());
}

#[test]
fn the_search_finds_the_cgroup_of_a_process_that_is_gone() {
    let mut tree = Tree::new("gone");
    let leaf = tree.cgroup(&format!("/system.slice/docker-{ID}.scope/init"));
    let root = tree.cgroup("");
    let other = tree.cgroup("/system.slice/db.service");
    let container = Place { container_id: Some(ID.into()), unit: None };
    assert_eq!(tree.found(leaf, 0), Some(container));
    // One search is enough for all.
    let searched = tree.cgroups.searched;
    assert_eq!(tree.found(root, 0), Some(Place::default()));
    assert_eq!(tree.found(other, 0), unit("db.service"));
    assert_eq!(tree.cgroups.searched, searched);
}

#[test]
fn searches_are_rate_limited_and_a_cgroup_that_is_not_there_costs_one() {
    let mut tree = Tree::new("rate");
    assert!(matches!(tree.cgroups.place(u64::MAX, 0), Lookup::Missing(_)));
    let searched = tree.cgroups.searched;
    // A new cgroup has to wait for the next search.
    let id = tree.cgroup("/system.slice/new.service");
    let Lookup::Missing(retry_at) = tree.cgroups.place(id, 0) else { panic!("searched at once") };
    assert_eq!(retry_at, tree.cgroups.rate_limit.next());
    assert_eq!(tree.cgroups.searched, searched);
    assert!(retry_at >= searched.unwrap() + SEARCH_INTERVAL);
    // When its time has come it is found, and what the first search missed is not looked for again.
    tree.cgroups.rate_limit = RateLimit::new(SEARCH_INTERVAL);
    assert!(matches!(tree.cgroups.place(u64::MAX, 0), Lookup::Missing(_)));
    assert_eq!(tree.cgroups.searched, searched);
    assert_eq!(tree.found(id, 0), unit("new.service"));
    assert_ne!(tree.cgroups.searched, searched);
}

#[test]
fn a_missing_cgroup_is_forgotten_after_a_while() {
    let mut tree = Tree::new("forgotten");
    let long_ago = Instant::now() - MISSING_FOR;
    let id = tree.cgroup("/late.service");
    tree.cgroups.known.insert(id, Known::Missing(long_ago));
    tree.cgroups.searched = Some(long_ago);
    assert_eq!(tree.found(id, 0), unit("late.service"));
}

#[test]
fn a_living_process_is_asked_even_between_searches() {
    let mut tree = Tree::new("between");
    assert_eq!(tree.found(u64::MAX, 0), None);
    let id = tree.cgroup("/web.service");
    tree.process(7, "/web.service");
    assert_eq!(tree.found(id, 7), unit("web.service"));
}

#[test]
fn an_unreadable_hierarchy_finds_nothing() {
    let mut tree = Tree::new("unreadable");
    tree.cgroups.mount.directory = tree.scratch.path("nowhere");
    assert_eq!(tree.found(1, 0), None);
    tree.scratch.write("proc/7/cgroup", "garbage\n");
    assert_eq!(tree.found(2, 7), None);
}

#[test]
fn names_that_are_not_text_are_passed_over() {
    use std::os::unix::ffi::OsStrExt;
    let mut tree = Tree::new("bytes");
    let odd = std::ffi::OsStr::from_bytes(b"\xff.service");
    fs::create_dir(tree.scratch.path("cgroup").join(odd)).unwrap();
    let id = tree.cgroup("/web.service");
    assert_eq!(tree.found(id, 0), unit("web.service"));
}

#[test]
fn a_search_does_not_forget_what_it_was_made_for() {
    let mut tree = Tree::new("many");
    let ids: Vec<_> = (0..20).map(|n| (n, tree.cgroup(&format!("/{n}.service")))).collect();
    for (number, id) in ids {
        tree.cgroups.known = Cache::new(4);
        tree.cgroups.rate_limit = RateLimit::new(SEARCH_INTERVAL);
        assert_eq!(tree.found(id, 0), unit(&format!("{number}.service")));
        // And it is known from now on.
        assert_eq!(tree.found(id, 0), unit(&format!("{number}.service")));
    }
}

/// What the search takes for granted.
#[test]
fn the_kernel_lists_inode_numbers_and_has_two_links_for_a_cgroup_without_children() {
    let Ok(mount) = CgroupMount::detect(&Default::default()) else {
        return;
    };
    let mut pending = vec![mount.directory];
    while let Some(directory) = pending.pop() {
        let links = || fs::metadata(&directory).ok().map(|it| it.nlink());
        let before = links();
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let children: Vec<_> =
            entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).collect();
        for child in &children {
            if let Ok(metadata) = fs::metadata(child.path()) {
                assert_eq!(metadata.ino(), child.ino());
            }
        }
        // Others make and remove cgroups meanwhile.
        if before.is_some() && before == links() {
            assert_eq!(before, Some(children.len() as u64 + 2), "{directory:?}");
        }
        pending.extend(children.iter().map(fs::DirEntry::path));
    }
}
