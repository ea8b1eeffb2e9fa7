use super::*;
use crate::host::tests::{output, read, told, value};

#[test]
fn df_agrees() {
    let values = read(&mut Filesystems::new(&HostPaths::default()).unwrap());
    let limits = || values.iter().filter(|((name, _), _)| *name == "system.filesystem.limit");
    assert!(limits().count() > 0, "{values:#?}");
    for ((_, attributes), size) in limits() {
        let attribute = |name: &str| {
            let (_, rest) = attributes.split_once(&format!("{name}=")).unwrap();
            rest.split(',').next().unwrap()
        };
        let state = |metric, state| {
            value(&values, metric, &format!("{attributes},system.filesystem.state={state}"))
        };
        let bytes = |name| state(&metric::SYSTEM_FILESYSTEM_USAGE, name);
        let mount_point = attribute("system.filesystem.mountpoint");
        let df = ["--block-size=1", "--output=size,used,avail,fstype,source", mount_point];
        let df = output("df", &df);
        let columns: Vec<_> = df.lines().nth(1).unwrap().split_whitespace().collect();
        let number = |column: usize| columns[column].parse::<f64>().unwrap();

        assert_eq!(number(0), *size, "{mount_point}");
        assert!((number(1) - bytes("used")).abs() < 0.02 * size, "{df}, {values:#?}");
        assert!((number(2) - bytes("free")).abs() < 0.02 * size, "{df}, {values:#?}");
        assert_eq!(columns[3], attribute("system.filesystem.type"));
        // As lsblk calls it, whatever it was mounted by.
        let source = columns[4];
        let number = output("mountpoint", &["--fs-devno", mount_point]);
        let devices = output("lsblk", &["--noheadings", "--raw", "--output=MAJ:MIN,KNAME"]);
        let device = devices.lines().find_map(|line| {
            let (its, name) = line.split_once(' ')?;
            (its == number.trim()).then_some(name)
        });
        assert_eq!(device.unwrap_or(source), attribute("system.device"));
        assert_eq!(bytes("used") + bytes("free") + bytes("reserved"), *size);
        let share = state(&metric::SYSTEM_FILESYSTEM_UTILIZATION, "free");
        assert_eq!(share, bytes("free") / size);
    }
}

#[test]
fn each_file_system_is_told_of_once() {
    let mut filesystems = Filesystems::new(&HostPaths::default()).unwrap();
    read(&mut filesystems);
    let mut devices: Vec<_> =
        mounted_once(&filesystems.disks, Path::new("/")).iter().map(|disk| disk.id()).collect();
    let count = devices.len();
    devices.sort();
    devices.dedup();
    assert_eq!(devices.len(), count);
    assert_eq!(filesystems.filesystems.len(), count);
}

#[test]
fn attributes_are_made_once() {
    let mut filesystems = Filesystems::new(&HostPaths::default()).unwrap();
    let first = read(&mut filesystems).into_keys().collect::<Vec<_>>();
    filesystems.refresh().unwrap();
    assert_eq!(told(&filesystems).into_keys().collect::<Vec<_>>(), first);
}

#[test]
fn a_root_without_a_file_system_is_a_problem_with_a_remedy() {
    let paths = HostPaths { root: "/nowhere".into(), ..HostPaths::default() };
    let message = Filesystems::new(&paths).unwrap().refresh().unwrap_err().to_string();
    assert!(message.contains("/nowhere") && message.contains("rslave"), "{message}");
}
