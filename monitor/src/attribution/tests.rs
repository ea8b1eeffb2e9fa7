use super::*;
use crate::host::scratch::Scratch;
use crate::sample::Attributes;

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn process(comm: &[u8], cgroup_id: u64) -> Process {
    let mut padded = [0; 16];
    padded[..comm.len()].copy_from_slice(comm);
    Process { pid: 0, comm: padded, cgroup_id, kernel_thread: false }
}

/// A host with one container and one service.
struct Host {
    scratch: Scratch,
    paths: HostPaths,
    container: u64,
    service: u64,
}

impl Host {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(&format!("attribution-{name}"));
        scratch.write(
            "proc/1/mountinfo",
            "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n",
        );
        let container = scratch.directory(&format!("sys/fs/cgroup/system.slice/docker-{ID}.scope"));
        let service = scratch.directory("sys/fs/cgroup/system.slice/web.service");
        scratch.write(
            &format!("root/var/lib/docker/containers/{ID}/config.v2.json"),
            r#"{"Name":"/shop"}"#,
        );
        let paths = HostPaths {
            proc: scratch.path("proc"),
            sys: scratch.path("sys"),
            root: scratch.path("root"),
        };
        Self { scratch, paths, container, service }
    }

    fn attributor(&self, group_by: GroupBy) -> Attributor {
        let mount = CgroupMount::detect(&self.paths).unwrap();
        Attributor::new(group_by, &self.paths, Some(mount))
    }
}

fn pairs(group: &Group) -> Vec<(&'static str, String)> {
    let attributes: Attributes = group.attributes();
    attributes.iter().map(|(name, value)| (name, value.to_owned())).collect()
}

fn named(pairs: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

#[test]
fn a_host_mounted_elsewhere_is_read_there() {
    let host = Host::new("elsewhere");
    let mut attributor = host.attributor(GroupBy::default());
    let group = attributor.group(&process(b"nginx", host.container));
    let expected =
        [("process.executable.name", "nginx"), ("container.id", ID), ("container.name", "shop")];
    assert_eq!(pairs(&group), named(&expected));
    let group = attributor.group(&process(b"nginx", host.service));
    let expected = [("process.executable.name", "nginx"), ("systemd.unit", "web.service")];
    assert_eq!(pairs(&group), named(&expected));
    assert_eq!(attributor.unresolved(), 0);
}

#[test]
fn groups_are_told_apart_by_what_was_asked_for() {
    let host = Host::new("by");
    let mut one = process(b"nginx", host.service);
    one.pid = 10;
    let (mut pid, mut comm, mut place) = (one, one, one);
    pid.pid = 11;
    comm.comm = process(b"worker", 0).comm;
    place.cgroup_id = host.container;
    for (group_by, same_pid, same_comm, same_place) in [
        (GroupBy::CommandAndContainer, true, false, false),
        (GroupBy::Command, true, false, true),
        (GroupBy::Container, true, true, false),
        (GroupBy::Process, false, false, false),
    ] {
        let mut attributor = host.attributor(group_by);
        let group = attributor.group(&one);
        for (other, same) in [(pid, same_pid), (comm, same_comm), (place, same_place)] {
            let other = attributor.group(&other);
            assert_eq!(group == other, same, "{group_by:?}: {group:?}, {other:?}");
            assert_eq!(Arc::ptr_eq(&group, &other), same, "equal groups are shared");
        }
        assert_eq!(group.pid.is_some(), group_by == GroupBy::Process);
        assert_eq!(group.executable.is_empty(), group_by == GroupBy::Container);
        assert_eq!(group.systemd_unit.is_none(), group_by == GroupBy::Command);
    }
}

#[test]
fn kernel_threads_of_one_kind_are_one_group() {
    for (comm, kernel_thread, executable) in [
        (&b"kworker/0:1-events"[..16], true, "kworker"),
        (b"kworker/u8:2", true, "kworker"),
        (b"ksoftirqd/3", true, "ksoftirqd"),
        (b"swapper/1", true, "swapper"),
        (b"kthreadd", true, "kthreadd"),
        (b"/odd", true, "/odd"),
        (b"php/7", false, "php/7"),
        (b"", false, ""),
        (b"exactly16bytes!!", false, "exactly16bytes!!"),
        (b"\xff\xfe", false, "\u{fffd}\u{fffd}"),
    ] {
        let process = Process { kernel_thread, ..process(comm, 0) };
        assert_eq!(super::executable(&process), executable);
    }
}

#[test]
fn an_unknown_cgroup_is_counted_and_tried_again() {
    let host = Host::new("unknown");
    let mut attributor = host.attributor(GroupBy::default());
    let lost = process(b"short", u64::MAX);
    for _ in 0..100 {
        assert_eq!(pairs(&attributor.group(&lost)), named(&[("process.executable.name", "short")]));
    }
    assert_eq!(attributor.unresolved(), 1, "a known miss is not a new one");

    // A cgroup made after the search is found as soon as a process in it can be asked.
    let id = host.scratch.directory("sys/fs/cgroup/new.service");
    let mut late = process(b"late", id);
    assert_eq!(attributor.group(&late).systemd_unit, None);
    assert_eq!(attributor.unresolved(), 2);
    let known = Known { retry_at: Some(Instant::now()), ..attributor.find(&late) };
    attributor.known.insert(attributor.key(&late), known);
    late.pid = 9;
    host.scratch.write("proc/9/cgroup", "0::/new.service\n");
    assert_eq!(attributor.group(&late).systemd_unit, None, "until the next search");
}

#[test]
fn a_cgroup_whose_creation_was_reported_needs_no_directory() {
    let host = Host::new("created");
    let mut attributor = host.attributor(GroupBy::default());
    attributor.search();
    attributor.created(77, "/system.slice/run-1.service");
    let group = attributor.group(&process(b"short", 77));
    assert_eq!(group.systemd_unit.as_deref(), Some("run-1.service"));
    // What was there before the reports began is known by the search.
    std::fs::remove_dir(host.scratch.path("sys/fs/cgroup/system.slice/web.service")).unwrap();
    let group = attributor.group(&process(b"nginx", host.service));
    assert_eq!(group.systemd_unit.as_deref(), Some("web.service"));
    assert_eq!(attributor.unresolved(), 0);
}

#[test]
fn without_a_hierarchy_there_are_only_commands() {
    let mut attributor = Attributor::new(GroupBy::default(), &HostPaths::default(), None);
    let group = attributor.group(&process(b"nginx", 1));
    assert_eq!(pairs(&group), named(&[("process.executable.name", "nginx")]));
    assert_eq!(attributor.unresolved(), 0);
}

#[test]
fn the_cache_is_bounded() {
    let mut attributor = Attributor::new(GroupBy::Process, &HostPaths::default(), None);
    for pid in 1..=100_000 {
        attributor.group(&Process { pid, ..process(b"fork", 1) });
        assert!(attributor.known.len() <= CAPACITY);
    }
}

#[test]
fn this_process_is_where_it_says_it_is() {
    let paths = HostPaths::default();
    let mount = CgroupMount::detect(&paths).unwrap();
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = mount.path_of(&cgroups).unwrap();
    let Some(below) = mount.below(path) else {
        return;
    };
    let directory = mount.directory.join(below);
    let id = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(directory).unwrap());
    let expected = Place::from_path(&mount.full_path(below));
    for pid in [std::process::id(), 0] {
        let mut attributor = Attributor::new(GroupBy::default(), &paths, Some(mount.clone()));
        let group = attributor.group(&Process { pid, ..process(b"test", id) });
        assert_eq!(group.container_id, expected.container_id);
        assert_eq!(group.systemd_unit, expected.unit);
        assert_eq!(attributor.unresolved(), 0);
    }
}
