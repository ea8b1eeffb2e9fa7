//! On a tree of real directories.

use std::{collections::HashMap, time::Duration};

use super::*;
use crate::{
    attribution::{Names, SEARCH_LIMIT},
    host::scratch::Scratch,
    rate_limit::{CpuTime, RateLimit},
};

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// By group, metric and attributes.
type Counted = HashMap<(String, &'static str, String), u64>;

struct Tree {
    scratch: Scratch,
    cgroups: Cgroups,
    counted: Counted,
}

/// Adds up what is reported to it.
fn count(
    counted: &mut Counted,
) -> impl FnMut(&Arc<Group>, &'static MetricDesc, &Attributes, u64) + '_ {
    |group, metric, attributes, increase| {
        let group = group.attributes();
        let join = |attributes: &Attributes| {
            attributes.iter().map(|(_, value)| value).collect::<Vec<_>>().join(" ")
        };
        *counted.entry((join(&group), metric.name, join(attributes))).or_default() += increase;
    }
}

impl Tree {
    /// With a kernel that accounts for pressure or one that does not.
    fn new(name: &str, with_pressure: bool) -> Self {
        let scratch = Scratch::new(&format!("cgroup-{name}"));
        let cgroup = scratch.path("cgroup");
        scratch.directory("cgroup/system.slice");
        let mounts = format!("1 2 0:1 / {} rw - cgroup2 cgroup2 rw\n", cgroup.display());
        scratch.write("proc/1/mountinfo", &mounts);
        if with_pressure {
            scratch.write("proc/pressure/cpu", "some total=0\n");
        }
        let paths = HostPaths { proc: scratch.path("proc"), ..HostPaths::default() };
        let mount = CgroupMount::detect(&paths).unwrap();
        let cgroups = Cgroups::new(&paths, Some(&mount), Names::new(&paths));
        Self { scratch, cgroups, counted: HashMap::new() }
    }

    fn stat(&self, cgroup: &str, [periods, throttled, us]: [u64; 3]) {
        let text = format!("nr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec {us}\n");
        self.scratch.write(&format!("cgroup/{cgroup}/cpu.stat"), &text);
    }

    /// Searches and reads at once.
    fn collect(&mut self) {
        for watch in &mut self.cgroups.watches {
            watch.search = RateLimit::new(Duration::ZERO);
            watch.read = RateLimit::new(Duration::ZERO);
        }
        self.cgroups.collect(&mut count(&mut self.counted));
    }

    /// Reads at once, with no search before.
    fn read(&mut self) {
        let watch = &mut self.cgroups.watches[0];
        watch.search = RateLimit::new(Duration::from_secs(3600));
        watch.search.done(CpuTime::now());
        watch.read = RateLimit::new(Duration::ZERO);
        self.cgroups.collect(&mut count(&mut self.counted));
    }

    /// Reports a change of the cgroup with this directory.
    fn change(&mut self, id: u64, path: &str, what: CgroupEvent) {
        let change = CgroupChange { id, path, what };
        self.cgroups.changed(&change, &mut count(&mut self.counted));
    }

    /// Removes a cgroup that throttled for so many microseconds in all, and reports it.
    fn remove(&mut self, path: &str, id: u64, us: u64) {
        let _ = fs::remove_dir_all(self.scratch.path(&format!("cgroup{path}")));
        let throttling = Some([1, 1, us * 1000]);
        self.change(id, path, CgroupEvent::Removed { throttling });
    }

    fn lost(&self, reason: &str) -> u64 {
        self.cgroups.lost().iter().find(|(it, _)| *it == reason).unwrap().1
    }

    fn throttled(&self, group: &str) -> Option<u64> {
        let key = (group.to_owned(), CGROUP_CPU_THROTTLED_TIME.name, String::new());
        self.counted.get(&key).copied()
    }
}

#[test]
fn what_was_there_before_counts_from_now_and_what_is_new_in_full() {
    let mut tree = Tree::new("new", false);
    tree.stat("system.slice/old.service", [10, 5, 500]);
    tree.stat("system.slice", [10, 5, 500]);
    tree.collect();
    assert_eq!(tree.throttled("old.service"), Some(0));
    tree.stat("system.slice/old.service", [11, 6, 700]);
    tree.stat(&format!("docker/{ID}"), [3, 2, 100]);
    tree.collect();
    assert_eq!(tree.throttled("old.service"), Some(200_000));
    assert_eq!(tree.throttled(ID), Some(100_000));
    // A slice is neither a container nor a unit.
    let groups: std::collections::BTreeSet<_> = tree.counted.keys().map(|(it, ..)| it).collect();
    assert_eq!(groups.len(), 2, "{groups:?}");
}

#[test]
fn a_unit_that_is_restarted_goes_on_counting() {
    let mut tree = Tree::new("restarted", false);
    tree.collect();
    tree.stat("system.slice/web.service", [3, 3, 30]);
    tree.collect();
    // Both exist at a time, so they cannot have the same inode number.
    let web = tree.scratch.path("cgroup/system.slice/web.service");
    fs::rename(&web, tree.scratch.path("aside")).unwrap();
    tree.stat("system.slice/web.service", [5, 5, 50]);
    tree.collect();
    assert_eq!(tree.throttled("web.service"), Some(80_000));
    fs::remove_dir_all(&web).unwrap();
    tree.collect();
    assert!(tree.cgroups.watches[0].watched.is_empty());
    assert_eq!(tree.throttled("web.service"), Some(80_000));
}

#[test]
fn a_controller_that_is_turned_off_and_on_goes_on_counting() {
    let mut tree = Tree::new("controller", false);
    tree.collect();
    for (written, counted) in [([3, 3, 30], 30_000), ([1, 1, 5], 35_000), ([4, 1, 5], 35_000)] {
        // The file stays the same: it is overwritten.
        tree.stat("system.slice/web.service", written);
        tree.collect();
        assert_eq!(tree.throttled("web.service"), Some(counted));
    }
}

#[test]
fn what_a_unit_counts_after_its_last_reading_is_reported_at_its_end() {
    let mut tree = Tree::new("end", false);
    tree.stat("web.service", [1, 1, 10]);
    let id = tree.scratch.directory("cgroup/web.service");
    tree.collect();
    tree.stat("web.service", [1, 1, 30]);
    tree.collect();
    tree.remove("/web.service", id, 45);
    assert_eq!(tree.throttled("web.service"), Some(35_000));
    // A search may find that it is gone before its end is reported.
    tree.stat("db.service", [1, 1, 10]);
    let id = tree.scratch.directory("cgroup/db.service");
    tree.collect();
    fs::remove_dir_all(tree.scratch.path("cgroup/db.service")).unwrap();
    tree.collect();
    tree.remove("/db.service", id, 12);
    assert_eq!(tree.throttled("db.service"), Some(12_000));
    assert!(tree.cgroups.watches[0].watched.is_empty());
}

#[test]
fn a_unit_that_was_never_read_counts_in_full_at_its_end() {
    let mut tree = Tree::new("short", false);
    tree.change(77, "/run-1.service", CgroupEvent::Created);
    tree.change(78, "/a.slice", CgroupEvent::Created);
    tree.remove("/run-1.service", 77, 5);
    tree.change(78, "/a.slice", CgroupEvent::Removed { throttling: Some([1, 1, 1]) });
    assert_eq!(tree.throttled("run-1.service"), Some(5000));
    assert_eq!(tree.counted.len(), 3, "{:?}", tree.counted);
}

#[test]
fn a_unit_made_again_between_two_ticks_is_not_mixed_up_with_the_one_before() {
    let mut tree = Tree::new("again", false);
    tree.stat("web.service", [1, 1, 10]);
    let first = tree.scratch.directory("cgroup/web.service");
    tree.collect();
    fs::rename(tree.scratch.path("cgroup/web.service"), tree.scratch.path("aside")).unwrap();
    tree.stat("web.service", [1, 1, 1000]);
    // Is read before its predecessor's end is reported.
    tree.read();
    tree.change(first, "/web.service", CgroupEvent::Removed { throttling: Some([1, 1, 15_000]) });
    assert_eq!(tree.throttled("web.service"), Some(5000));
    tree.collect();
    assert_eq!(tree.throttled("web.service"), Some(1_005_000));
}

#[test]
fn a_created_unit_is_read_before_the_next_search() {
    let mut tree = Tree::new("created", false);
    tree.collect();
    tree.stat("web.service", [1, 1, 7]);
    let id = tree.scratch.directory("cgroup/web.service");
    tree.change(id, "/web.service", CgroupEvent::Created);
    tree.read();
    assert_eq!(tree.throttled("web.service"), Some(7000));
}

#[test]
fn pressure_has_every_resource_and_both_kinds() {
    let mut tree = Tree::new("pressure", true);
    tree.collect();
    let long = format!("{}.service", "x".repeat(240));
    for resource in ["cpu", "io", "memory"] {
        let text = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 total=3\n";
        tree.scratch.write(&format!("cgroup/system.slice/{long}/{resource}.pressure"), text);
    }
    tree.collect();
    for resource in ["cpu", "io", "memory"] {
        for (kind, ns) in [("some", 7000), ("full", 3000)] {
            let key = (long.clone(), CGROUP_PRESSURE_TIME.name, format!("{resource} {kind}"));
            assert_eq!(tree.counted.get(&key), Some(&ns), "{key:?} in {:?}", tree.counted);
        }
    }
    // There is no cpu.stat in this tree.
    let absent: Vec<_> = tree.cgroups.absent().collect();
    assert_eq!(absent.len(), 1, "{absent:?}");
    assert!(absent[0].contains("throttling") && absent[0].contains("cpu.stat"), "{absent:?}");
}

#[test]
fn what_is_not_there_is_named_with_its_reason() {
    let mut tree = Tree::new("absent", false);
    tree.collect();
    let absent: Vec<_> = tree.cgroups.absent().collect();
    assert_eq!(absent.len(), 2, "{absent:?}");
    assert!(absent[0].contains("pressure/cpu") && absent[0].contains("psi=1"), "{absent:?}");
    assert!(absent[1].contains("container or unit"), "{absent:?}");
    tree.stat("system.slice/web.service", [0, 0, 0]);
    tree.collect();
    assert_eq!(tree.cgroups.absent().count(), 1);
    let paths = HostPaths { proc: tree.scratch.path("proc"), ..HostPaths::default() };
    let none = Cgroups::new(&paths, None, Names::new(&paths));
    assert!(none.absent().any(|reason| reason.contains("cpu controller")));
}

#[test]
fn cgroups_beyond_the_limit_are_counted_and_those_that_are_known_stay() {
    let mut tree = Tree::new("limit", false);
    tree.cgroups.watches[0].read_limit = 2;
    let unit = |number: u32| format!("{number}.service");
    for number in 0..2 {
        tree.stat(&format!("system.slice/{}", unit(number)), [1, 1, 1]);
    }
    tree.collect();
    for number in 2..5 {
        tree.stat(&format!("system.slice/{}", unit(number)), [1, 1, 1]);
    }
    tree.collect();
    tree.collect();
    assert_eq!(tree.lost("too_many"), 6);
    assert_eq!(tree.counted.len(), 2 * 3);
    assert_eq!([0, 1].map(|number| tree.throttled(&unit(number))), [Some(0); 2]);
    // Those that get a place now were there for a while, and what they counted is no news.
    for number in 0..3 {
        fs::remove_dir_all(tree.scratch.path(&format!("cgroup/system.slice/{}", unit(number))))
            .unwrap();
    }
    tree.collect();
    assert_eq!([3, 4].map(|number| tree.throttled(&unit(number))), [Some(0); 2]);
}

#[test]
fn a_cgroup_beyond_the_limit_counts_once_however_often_it_is_reported() {
    let mut tree = Tree::new("left-out", false);
    tree.cgroups.watches[0].read_limit = 1;
    let watched = tree.scratch.directory("cgroup/a.service");
    tree.collect();
    // Those that a search has found before.
    tree.change(watched, "/a.service", CgroupEvent::Created);
    let left_out = tree.scratch.directory("cgroup/b.service");
    tree.collect();
    assert_eq!(tree.lost("too_many"), 1);
    tree.change(left_out, "/b.service", CgroupEvent::Created);
    tree.read();
    assert_eq!(tree.lost("too_many"), 2);
    // One at its end, and none after.
    tree.remove("/b.service", left_out, 1);
    tree.read();
    assert_eq!(tree.lost("too_many"), 3);
    for id in 70..73 {
        tree.change(id, "/run.service", CgroupEvent::Created);
        tree.change(id, "/run.service", CgroupEvent::Removed { throttling: None });
    }
    tree.read();
    assert_eq!(tree.lost("too_many"), 6);
}

#[test]
fn what_a_search_does_not_come_to_goes_on_and_is_not_taken_for_new() {
    let mut tree = Tree::new("cut", false);
    for (name, us) in [("a", 10), ("b", 20)] {
        tree.stat(&format!("{name}.service"), [1, 1, us]);
    }
    tree.collect();
    // Of the slice and the three units.
    tree.cgroups.watches[0].search_limit = 2;
    tree.stat("c.service", [1, 1, 30]);
    tree.collect();
    for (name, us) in [("a", 11), ("b", 21), ("c", 31)] {
        tree.stat(&format!("{name}.service"), [1, 1, us]);
    }
    tree.collect();
    assert_eq!(["a", "b"].map(|it| tree.throttled(&format!("{it}.service"))), [Some(1000); 2]);
    assert_eq!(tree.lost("search_cut"), 2);
    // There may be more than were seen, so nothing says when this one was made.
    tree.stat("d.service", [1, 1, 40]);
    tree.cgroups.watches[0].search_limit = SEARCH_LIMIT;
    tree.collect();
    assert_eq!(tree.throttled("d.service"), Some(0));
    tree.stat("e.service", [1, 1, 50]);
    tree.collect();
    assert_eq!(tree.throttled("e.service"), Some(50_000));
    assert_eq!(tree.lost("search_cut"), 2);
}

#[test]
fn one_search_finds_what_is_read_in_one_hierarchy() {
    let tree = Tree::new("one", true);
    assert_eq!(tree.cgroups.watches.len(), 1);
}
