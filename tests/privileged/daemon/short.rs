//! Attribution of cgroups that exist for less than a tick.

use std::{fs, path::Path, thread, time::Duration};

use monitor_tests::{
    Workload,
    cgroup::{self, Cgroup},
    daemon::{container::Container, program::Directory},
    serial,
};

use super::{program::Daemon, scrape::Scrape, sums::adds_up};

const UNITS: u32 = 10;
const CONTAINERS: u32 = 3;
/// Processes that each of them starts and ends.
const CHILDREN: u32 = 5;
/// How long each of them exists at least.
const LIFETIME: Duration = Duration::from_millis(300);

/// Processes that ended with these labels.
fn exits(scrape: &Scrape, place: (&str, &str)) -> f64 {
    let labels = [("process_executable_name", "mt-forked"), place];
    scrape.values("monitor_process_exits_total", &labels).iter().sum()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("plain letters")
}

/// Starts and ends processes in a cgroup, which is removed after.
fn run(cgroup: Cgroup) {
    let path = text(cgroup.path());
    let forks = Workload::start("mt-forks", ["forks", &CHILDREN.to_string(), "1000", path]);
    forks.done();
    forks.end();
    thread::sleep(LIFETIME);
    drop(cgroup);
}

#[test]
fn units_and_containers_that_end_between_two_ticks_are_named() {
    let _serial = serial();
    let root = Directory::new();
    // One cgroup in six meets a tick.
    let daemon = Daemon::start(["--interval", "2s", "--host-root", text(&root.path(""))]);
    let unit = |number: u32| format!("mt-run-{number}.service");
    let slice = cgroup::root("cpu").join("mt.slice");
    for number in 0..UNITS {
        run(Cgroup::at("cpu", &slice.join(unit(number))));
    }
    let ids: Vec<_> = (0..CONTAINERS)
        .map(|number| {
            // As Docker does it: the file is there before the cgroup, and both are removed at the end.
            let id = Container::id(number);
            let directory = root.path("var/lib/docker/containers").join(&id);
            fs::create_dir_all(&directory).expect("the directory is ours");
            let name = format!(r#"{{"Name":"/mt-container-{number}"}}"#);
            fs::write(directory.join("config.v2.json"), name).expect("the directory is ours");
            let Container { cgroup, .. } = Container::new(number);
            run(cgroup);
            fs::remove_dir_all(&directory).expect("the directory is ours");
            id
        })
        .collect();
    daemon.wait_ticks(2);
    let scrape = Scrape::text(&daemon);
    adds_up(&scrape);
    let units: Vec<_> =
        (0..UNITS).map(|number| exits(&scrape, ("systemd_unit", &unit(number)))).collect();
    let containers: Vec<_> = ids.iter().map(|id| exits(&scrape, ("container_id", id))).collect();
    let names = (0..CONTAINERS).map(|number| format!("mt-container-{number}"));
    let named: Vec<_> = names.map(|name| exits(&scrape, ("container_name", &name))).collect();
    println!("processes ended by unit {units:?}, by container {containers:?}, by name {named:?}");
    let unresolved = [("monitor_probe", "attribution"), ("monitor_loss_reason", "unresolved")];
    let unresolved = scrape.value("monitor_agent_lost_total", &unresolved);
    // Their parent ended too.
    let expected = f64::from(CHILDREN + 1);
    assert!(units.iter().chain(&containers).chain(&named).all(|count| *count == expected));
    assert_eq!(unresolved, Some(0.0));
}
