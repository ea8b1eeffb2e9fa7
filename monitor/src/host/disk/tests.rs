use std::io::Write;
use std::process::Command;

use super::*;
use crate::host::scratch::Scratch;
use crate::host::tests::{Values, elsewhere, output, read, value};

fn of(device: &str, direction: &str) -> String {
    format!("system.device={device},disk.io.direction={direction}")
}

fn devices(values: &Values) -> Vec<&str> {
    let device = |key: &'_ (&str, String)| key.0 == metric::SYSTEM_DISK_IO_TIME.name;
    let keys = values.keys().filter(|key| device(key));
    keys.map(|(_, attributes)| attributes.strip_prefix("system.device=").unwrap()).collect()
}

const DISKSTATS: &str = "\
   7       0 loop0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0
 259       0 nvme0n1 100 5 2048 70 200 6 4096 80 1 1500 150 0 0 0 0 0 0
 259       1 nvme0n1p1 90 5 2000 60 190 6 4000 70 0 1400 130
 253       0 dm-0 1 2 3 4 5 6 7 8 9 10 11
 104       0 cciss/c0d0 1 0 8 1 0 0 0 0 0 1 1
";

#[test]
fn whole_devices_are_counted_once() {
    let scratch = Scratch::new("disk");
    scratch.write("proc/diskstats", DISKSTATS);
    for name in ["loop0", "nvme0n1", "dm-0", "cciss!c0d0"] {
        scratch.directory(&format!("sys/block/{name}"));
    }
    let mut disks = Disks::new(&elsewhere(&scratch));
    let values = read(&mut disks);
    assert_eq!(devices(&values), ["cciss/c0d0", "dm-0", "nvme0n1"], "no partition, no empty loop");
    let in_flight = value(&values, &metric::DISK_IN_FLIGHT, "system.device=nvme0n1");
    assert_eq!(in_flight, 1.0);
    for (metric, read, write) in [
        (&metric::SYSTEM_DISK_OPERATIONS, 100.0, 200.0),
        (&metric::SYSTEM_DISK_MERGED, 5.0, 6.0),
        (&metric::SYSTEM_DISK_IO, 2048.0 * 512.0, 4096.0 * 512.0),
        (&metric::SYSTEM_DISK_OPERATION_TIME, 0.07, 0.08),
    ] {
        assert_eq!(value(&values, metric, &of("nvme0n1", "read")), read, "{}", metric.name);
        assert_eq!(value(&values, metric, &of("nvme0n1", "write")), write, "{}", metric.name);
    }
    assert_eq!(value(&values, &metric::SYSTEM_DISK_IO_TIME, "system.device=nvme0n1"), 1.5);

    let unplugged: String = DISKSTATS
        .lines()
        .filter(|line| !line.contains("dm-0"))
        .map(|it| format!("{it}\n"))
        .collect();
    scratch.write("proc/diskstats", &unplugged);
    assert_eq!(devices(&read(&mut disks)), ["cciss/c0d0", "nvme0n1"]);
}

#[test]
fn what_is_written_is_counted() {
    let scratch = Scratch::new("disk-write");
    let source = output("findmnt", &["-no", "SOURCE", "-T", scratch.path("").to_str().unwrap()]);
    // A partition's disk. Where /tmp is on no disk there is nothing to see.
    let columns = ["-ndo", "PKNAME,KNAME", source.trim()];
    let device = Command::new("lsblk").args(columns).output().unwrap();
    let device = String::from_utf8(device.stdout).unwrap();
    let Some(device) = device.split_whitespace().next() else {
        return;
    };
    let mut disks = Disks::new(&HostPaths::default());
    let written = |values: Values| value(&values, &metric::SYSTEM_DISK_IO, &of(device, "write"));
    let before = written(read(&mut disks));

    let mut file = fs::File::create(scratch.path("file")).unwrap();
    const SIZE: usize = 8 << 20;
    file.write_all(&vec![1; SIZE]).unwrap();
    file.sync_all().unwrap();

    let more = written(read(&mut disks)) - before;
    assert!(more >= SIZE as f64, "{more} bytes after {SIZE} were written");
}

#[test]
fn a_sys_that_is_not_there_makes_no_disks_of_partitions() {
    let scratch = Scratch::new("disk-sys");
    scratch.write("proc/diskstats", DISKSTATS);
    let error = Disks::new(&elsewhere(&scratch)).refresh().unwrap_err();
    assert!(error.to_string().contains("sys/block"), "{error}");
}
