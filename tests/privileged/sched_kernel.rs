//! What the `sched` probe leaves behind in the kernel: nothing.

use std::{collections::BTreeSet, fs, process::Command, thread, time::Duration};

use monitor_tests::{Workload, serial};
use serde_json::Value;

/// Kinds of objects as `bpftool` calls them: programs, their maps, and the links that attach them.
const KINDS: [&str; 3] = ["prog", "map", "link"];

/// The ids of the objects of a kind that a process holds. Others may run the same programs.
fn held_by(pid: u32, kind: &str) -> BTreeSet<u64> {
    let directory = format!("/proc/{pid}/fdinfo");
    let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
    let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
    let mut ids = BTreeSet::new();
    for text in texts {
        let id =
            |line: &str| line.strip_prefix(kind)?.strip_prefix("_id:")?.trim().parse::<u64>().ok();
        ids.extend(text.lines().filter_map(id));
    }
    ids
}

/// The ids of all objects of a kind that there are.
fn present(kind: &str) -> BTreeSet<u64> {
    let output = Command::new("bpftool")
        .args(["--json", kind, "show"])
        .output()
        .unwrap_or_else(|error| panic!("cannot run bpftool: {error}; install it"));
    let list: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("bpftool {kind} show: {error}"));
    let list = list.as_array().expect("bpftool prints a list");
    list.iter().filter_map(|object| object["id"].as_u64()).collect()
}

#[test]
fn nothing_is_left_after_a_kill() {
    let _serial = serial();
    let probe = Workload::start("mt-probe", ["probe"]);
    probe.done();
    let held = KINDS.map(|kind| (kind, held_by(probe.pid(), kind)));
    for (kind, ids) in &held {
        assert!(ids.len() >= 5, "the probe has more than {ids:?} of the kind {kind}");
        assert!(ids.is_subset(&present(kind)), "bpftool does not know {kind} {ids:?}");
    }
    // By SIGKILL, so it cannot tidy up.
    probe.kill();
    // The kernel frees objects when nothing can be using them any more.
    for _ in 0..100 {
        if held.iter().all(|(kind, ids)| ids.is_disjoint(&present(kind))) {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("some of these are still there: {held:?}");
}
