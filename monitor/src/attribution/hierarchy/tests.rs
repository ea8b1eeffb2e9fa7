use super::*;
use crate::host::scratch::Scratch;

const CPU: Hierarchy = Hierarchy::V1 { controller: "cpu" };

/// A fixture's text.
macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../../../tests/fixtures/cgroup/", $name))
    };
}

fn here(mountinfo: &str) -> CgroupMount {
    CgroupMount::from_mountinfo(mountinfo, &HostPaths::default()).unwrap()
}

#[test]
fn the_hierarchy_of_containers_is_chosen() {
    for (mountinfo, hierarchy, directory, root) in [
        (fixture!("v2.mountinfo"), Hierarchy::V2, "/sys/fs/cgroup", ""),
        (fixture!("v1.mountinfo"), CPU, "/sys/fs/cgroup/cpu,cpuacct", ""),
        (fixture!("hybrid.mountinfo"), CPU, "/sys/fs/cgroup/cpu,cpuacct", ""),
        (fixture!("container-v2.mountinfo"), Hierarchy::V2, "/sys/fs/cgroup", "/../.."),
        (
            fixture!("container-v1.mountinfo"),
            CPU,
            "/sys/fs/cgroup/cpu,cpuacct",
            "/docker/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        ),
    ] {
        let expected =
            CgroupMount { hierarchy, directory: directory.into(), root: root.to_owned() };
        assert_eq!(here(mountinfo), expected);
    }
}

#[test]
fn a_host_without_the_cpu_controller_is_told_by_the_next() {
    let without_cpu: String = fixture!("v1.mountinfo")
        .lines()
        .filter(|line| !line.contains("cpuacct"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(here(&without_cpu).hierarchy, Hierarchy::V1 { controller: "memory" });
}

#[test]
fn version_1_without_resource_controllers_is_version_2() {
    let mountinfo = "31 23 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n\
                     32 23 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n\
                     33 23 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
    let mount = here(mountinfo);
    assert_eq!(mount.hierarchy, Hierarchy::V2);
    assert_eq!(mount.directory, Path::new("/sys/fs/cgroup/unified"));
}

#[test]
fn nothing_is_chosen_where_nothing_is_mounted() {
    for mountinfo in ["", "27 1 254:0 / / rw - ext4 /dev/vda rw\n", "not a mountinfo\n - \n"] {
        assert_eq!(CgroupMount::from_mountinfo(mountinfo, &HostPaths::default()), None);
    }
}

#[test]
fn the_highest_of_several_mounts_is_chosen() {
    let mountinfo = "40 1 0:30 /docker/a /one rw - cgroup2 cgroup2 rw\n\
                     41 1 0:30 / /two\\040words rw - cgroup2 cgroup2 rw\n\
                     42 1 0:30 /docker /three rw - cgroup2 cgroup2 rw\n";
    assert_eq!(here(mountinfo).directory, Path::new("/two words"));
}

#[test]
fn the_line_of_the_hierarchy_is_read() {
    let v2 = here(fixture!("v2.mountinfo"));
    let v1 = here(fixture!("v1.mountinfo"));
    let unit = "/system.slice/web:8080.service";
    assert_eq!(v2.path_of(fixture!("v2.cgroup")), Some(unit));
    assert_eq!(v1.path_of(fixture!("v1.cgroup")), Some(unit));
    assert_eq!(v1.path_of(fixture!("hybrid.cgroup")), Some(unit));
    // In a hybrid host's version 2 hierarchy there is no container.
    assert_eq!(v2.path_of(fixture!("hybrid.cgroup")), Some("/"));
    assert_eq!(v2.path_of(fixture!("v1.cgroup")), None);
    assert_eq!(v1.path_of(fixture!("v2.cgroup")), None);
    assert_eq!(v1.path_of("garbage\n1:cpu\n"), None);
}

#[test]
fn paths_relative_to_a_cgroup_namespace_are_placed_below_the_mount() {
    for (root, path, below) in [
        ("", "/", Some("")),
        ("", "/system.slice/a.service", Some("system.slice/a.service")),
        // Above what is mounted.
        ("", "/..", None),
        ("", "/../b", None),
        // The host's root, seen from a container two levels below it.
        ("/../..", "/../..", Some("")),
        ("/../..", "/../../init.scope", Some("init.scope")),
        // The name of the level above us, and of ourselves, is not told.
        ("/../..", "/../b", None),
        ("/../..", "/", None),
        ("/../..", "/../../..", None),
        ("/docker/a", "/docker/a", Some("")),
        ("/docker/a", "/docker/a/b", Some("b")),
        ("/docker/a", "/docker/ab", None),
        ("/docker/a", "/docker/c", None),
    ] {
        let mount =
            CgroupMount { hierarchy: Hierarchy::V2, directory: "".into(), root: root.to_owned() };
        assert_eq!(mount.below(path), below, "{path} below {root:?}");
    }
}

#[test]
fn the_full_path_begins_with_what_the_mount_hides() {
    for (root, below, full) in [
        ("", "", "/"),
        ("", "a/b", "/a/b"),
        ("/../..", "a", "/a"),
        ("/docker/a", "", "/docker/a/"),
        ("/docker/a", "b", "/docker/a/b"),
    ] {
        let mount =
            CgroupMount { hierarchy: Hierarchy::V2, directory: "".into(), root: root.to_owned() };
        assert_eq!(mount.full_path(below), full);
    }
}

#[test]
fn this_host_has_a_hierarchy() {
    let mount = CgroupMount::detect(&HostPaths::default()).unwrap();
    assert!(mount.directory.is_dir(), "{mount:?}");
}

#[test]
fn the_errors_name_the_cause_and_the_remedy() {
    let scratch = Scratch::new("hierarchy-errors");
    let paths = HostPaths { proc: scratch.path("proc"), ..HostPaths::default() };
    let message = |paths: &HostPaths| CgroupMount::detect(paths).unwrap_err().to_string();
    assert!(message(&paths).contains("proc/1/mountinfo: No such file"), "{}", message(&paths));
    assert!(message(&paths).contains("--host-proc"));

    scratch.write("proc/1/mountinfo", "27 1 254:0 / / rw - ext4 /dev/vda rw\n");
    assert!(message(&paths).contains("mount /sys/fs/cgroup"));

    scratch.write("proc/1/mountinfo", fixture!("v2.mountinfo"));
    let hidden = HostPaths { sys: scratch.path("sys"), ..paths };
    assert!(message(&hidden).contains("sys/fs/cgroup: No such file"), "{}", message(&hidden));
}

#[test]
fn a_walk_tells_whether_it_was_cut() {
    let scratch = Scratch::new("hierarchy-walk");
    for cgroup in ["a/b", "c"] {
        scratch.directory(&format!("cgroup/{cgroup}"));
    }
    let walk = |directory: &str, limit| {
        let directory = scratch.path(directory);
        let mount = CgroupMount { hierarchy: Hierarchy::V2, directory, root: String::new() };
        let mut seen = 0;
        let is_complete = mount.walk(limit, &mut |_, _| seen += 1);
        (seen, is_complete)
    };
    assert_eq!(walk("cgroup", 3), (4, true));
    assert_eq!(walk("cgroup", 2), (3, false));
    assert_eq!(walk("nowhere", 3), (0, false));
}
