//! Block devices of our own, what the kernel counts of them, limits on them, and fio.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
};

use serde_json::Value as Json;

use crate::{
    cgroup::{self, Cgroup},
    command::{run, spawn},
    session::read,
    workload::scratch,
};

/// A loop device over a file or another device.
pub struct Loop {
    /// Its name.
    pub name: String,
    /// Its device file.
    pub path: String,
    /// What holds its file, to be unmounted at the end.
    mount: Option<PathBuf>,
}

impl Loop {
    /// One over a file of that size in memory.
    pub fn in_memory(mebibytes: u32) -> Self {
        let mount = scratch("disk");
        let directory = mount.to_str().expect("plain letters");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &format!("size={}m", mebibytes + 8), "none", directory],
        );
        let file = mount.join("image");
        let image = fs::File::create(&file).expect("the directory is ours");
        image.set_len(u64::from(mebibytes) << 20).expect("there is room");
        let mut disk = Self::over(&file, &[]);
        disk.mount = Some(mount);
        disk
    }

    /// One over another.
    pub fn over_device(below: &Self) -> Self {
        Self::over(Path::new(&below.path), &["--direct-io=on"])
    }

    /// One that has the partitions found in it, which are `<path>p1` and so on.
    pub fn scan_partitions(&self) {
        run("partx", &["--update", &self.path]);
    }

    fn over(file: &Path, args: &[&str]) -> Self {
        let file = file.to_str().expect("plain letters");
        let path = run("losetup", &[&["--find", "--show"], args, &[file]].concat());
        let path = path.trim().to_owned();
        Self { name: path.trim_start_matches("/dev/").to_owned(), path, mount: None }
    }

    /// Has the kernel order its requests by this scheduler.
    pub fn set_scheduler(&self, scheduler: &str) {
        self.set("scheduler", scheduler);
    }

    /// The schedulers that the kernel has.
    pub fn schedulers(&self) -> Vec<String> {
        let names = read(&format!("/sys/block/{}/queue/scheduler", self.name));
        names.split_whitespace().map(|name| name.trim_matches(['[', ']']).to_owned()).collect()
    }

    /// Sets a property of its queue, which is its own again when this is dropped.
    pub fn set(&self, property: &str, value: &str) {
        let file = format!("/sys/block/{}/queue/{property}", self.name);
        fs::write(&file, value).unwrap_or_else(|error| panic!("cannot set {file}: {error}"));
    }

    /// What the kernel counts of it.
    pub fn stats(&self) -> DiskStats {
        DiskStats::of(&self.name)
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        // The next user of the device finds it as it was.
        for (property, value) in [("scheduler", "none"), ("wbt_lat_usec", "-1"), ("iostats", "1")] {
            let _ = fs::write(format!("/sys/block/{}/queue/{property}", self.name), value);
        }
        let _ = Command::new("losetup").args(["--detach", &self.path]).status();
        if let Some(mount) = &self.mount {
            let _ = Command::new("umount").arg("--lazy").arg(mount).status();
            let _ = fs::remove_dir(mount);
        }
    }
}

/// A mounted file system.
pub struct Mounted(PathBuf);

impl Mounted {
    /// Mounts the one on a device.
    pub fn new(device: &Loop) -> Self {
        let directory = scratch("mount");
        run("mount", &[&device.path, directory.to_str().expect("plain letters")]);
        Self(directory)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}

/// What `/proc/diskstats` counts: operations and sectors of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskStats {
    /// Reads, and sectors of 512 bytes.
    pub read: (u64, u64),
    /// Writes; requests that only flush are among them.
    pub write: (u64, u64),
    /// Discards.
    pub discard: (u64, u64),
    /// Flushes of the device.
    pub flush: u64,
}

impl DiskStats {
    fn of(device: &str) -> Self {
        let text = read("/proc/diskstats");
        let line = text.lines().find(|line| line.split_whitespace().nth(2) == Some(device));
        let line = line.unwrap_or_else(|| panic!("no {device} in /proc/diskstats"));
        let columns: Vec<u64> =
            line.split_whitespace().skip(3).filter_map(|word| word.parse().ok()).collect();
        let at = |column: usize| columns[column];
        let (read, write, discard) = ((at(0), at(2)), (at(4), at(6)), (at(11), at(13)));
        Self { read, write, discard, flush: at(15) }
    }

    /// What was added since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let since = |(a, b): (u64, u64), (c, d): (u64, u64)| (a - c, b - d);
        Self {
            read: since(self.read, before.read),
            write: since(self.write, before.write),
            discard: since(self.discard, before.discard),
            flush: self.flush - before.flush,
        }
    }
}

/// A limit on what a cgroup's processes may move to and from a device; it works with version 1 and 2.
pub struct Throttle(Cgroup);

impl Throttle {
    /// That many reads and writes a second.
    pub fn operations(device: &Loop, reads: u32, writes: u32) -> Self {
        let number = read(&format!("/sys/block/{}/dev", device.name));
        let number = number.trim();
        let cgroup = if cgroup::controller("blkio").is_some() {
            let cgroup = Cgroup::own("blkio", "throttle");
            for (kind, per_second) in [("read", reads), ("write", writes)] {
                let file = format!("blkio.throttle.{kind}_iops_device");
                cgroup.set(&file, &format!("{number} {per_second}"));
            }
            cgroup
        } else {
            let cgroup = Cgroup::own("io", "throttle");
            cgroup.set("io.max", &format!("{number} riops={reads} wiops={writes}"));
            cgroup
        };
        Self(cgroup)
    }

    /// The file by which processes join.
    pub fn procs(&self) -> String {
        self.0.path().join("cgroup.procs").display().to_string()
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.0.id()
    }
}

/// A run of fio on a device, without its cache.
pub struct Fio<'a> {
    /// What it works on.
    pub path: &'a str,
    /// Its other arguments.
    pub args: &'a [&'a str],
    /// Its limit, if it has one.
    pub throttle: Option<&'a Throttle>,
}

impl Fio<'_> {
    /// Starts it. Its requests are those of the process that is returned.
    pub fn start(&self) -> Child {
        let procs = self.throttle.map(Throttle::procs);
        let join = procs.map_or_else(String::new, |path| format!("echo $$ >{path}; "));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{join}exec fio \"$@\""), "sh"]);
        command.args(["--name=test", "--thread", "--direct=1", "--output-format=json"]);
        command.arg(format!("--filename={}", self.path)).args(self.args);
        spawn(&mut command)
    }
}

/// The part of what fio printed that is about `read`, `write` or `trim`.
pub fn fio_result(output: &Output, direction: &str) -> Json {
    let text = String::from_utf8_lossy(&output.stdout);
    let json = text.find('{').map(|begin| &text[begin..]).unwrap_or_default();
    let json: Json = serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {text}"));
    json["jobs"][0][direction].clone()
}

/// A number in what fio printed.
pub fn number(json: &Json, name: &str) -> u64 {
    json[name].as_u64().unwrap_or_else(|| panic!("no {name} in {json}"))
}
