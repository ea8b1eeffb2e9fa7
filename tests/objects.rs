//! What a process has in the kernel.

use std::{collections::BTreeSet, fs, process::Command};

use serde_json::Value;

/// The kinds of objects as `bpftool` calls them: programs, their maps, and the links that attach them.
const KINDS: [&str; 3] = ["prog", "map", "link"];

/// The objects that a process holds, by kind. Others may run the same programs.
#[derive(Debug)]
pub struct Held([BTreeSet<u64>; KINDS.len()]);

impl Held {
    /// Those of a process, by its open files.
    pub fn by(pid: u32) -> Self {
        let directory = format!("/proc/{pid}/fdinfo");
        let files = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{directory}: {error}"));
        // Some may have been closed by now.
        let texts = files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok());
        let mut held = [const { BTreeSet::new() }; KINDS.len()];
        for text in texts {
            for (kind, ids) in KINDS.iter().zip(&mut held) {
                let id = |line: &str| {
                    line.strip_prefix(kind)?.strip_prefix("_id:")?.trim().parse::<u64>().ok()
                };
                ids.extend(text.lines().filter_map(id));
            }
        }
        Self(held)
    }

    /// The id of its map of this name whose values have this size: probes may call theirs the same.
    pub fn map(&self, name: &str, value_size: usize) -> u32 {
        let [_, maps, _] = &self.0;
        let is_meant = |map: &Value| map["name"] == name && map["bytes_value"] == value_size;
        let ids = present("map").into_iter().filter(is_meant).filter_map(|map| map["id"].as_u64());
        let found: Vec<_> = ids.filter(|id| maps.contains(id)).collect();
        assert_eq!(found.len(), 1, "maps called {name} with values of {value_size} bytes");
        found[0].try_into().expect("ids have 32 bits")
    }

    /// Its programs, as `bpftool` describes them.
    pub fn programs(&self) -> Vec<Value> {
        let [programs, ..] = &self.0;
        let mut all = present("prog");
        all.retain(|program| program["id"].as_u64().is_some_and(|id| programs.contains(&id)));
        all
    }

    /// How many programs, maps and links there are.
    pub fn counts(&self) -> [usize; KINDS.len()] {
        self.0.each_ref().map(BTreeSet::len)
    }

    /// Those that are still in the kernel.
    pub fn remaining(&self) -> Vec<Value> {
        let of_kind = |(kind, ids): (&&str, &BTreeSet<u64>)| {
            let is_held =
                |object: &Value| object["id"].as_u64().is_some_and(|id| ids.contains(&id));
            let mut all = present(kind);
            all.retain(is_held);
            all
        };
        KINDS.iter().zip(&self.0).flat_map(of_kind).collect()
    }
}

/// All objects of a kind that there are, as `bpftool` describes them.
pub fn present(kind: &str) -> Vec<Value> {
    let output = Command::new("bpftool")
        .args(["--json", kind, "show"])
        .output()
        .unwrap_or_else(|error| panic!("cannot run bpftool: {error}; install it"));
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("bpftool {kind} show: {error}"))
}
