//! A container, as far as the daemon knows one.

use std::process;

use crate::{
    Workload,
    cgroup::{self, Cgroup},
};

/// A cgroup named as Docker names those of its containers, removed at the end.
pub struct Container {
    /// As Docker would say it.
    pub id: String,
    /// Its cgroup for CPU time.
    pub cgroup: Cgroup,
}

impl Container {
    /// The id of one of that number.
    pub fn id(number: u32) -> String {
        format!("{:056x}{number:08x}", process::id())
    }

    /// Makes one.
    pub fn new(number: u32) -> Self {
        let id = Self::id(number);
        let cgroup = Cgroup::at("cpu", &cgroup::root("cpu").join("docker").join(&id));
        Self { id, cgroup }
    }

    /// The cgroup's directory.
    pub fn path(&self) -> &str {
        self.cgroup.path().to_str().expect("plain letters")
    }

    /// Its cgroup for memory: another one where each controller has its own.
    pub fn memory(&self) -> Cgroup {
        Cgroup::at("memory", &cgroup::root("memory").join("docker").join(&self.id))
    }

    /// A process in it that starts so many others, one after the other, which each use a CPU for 1 ms.
    pub fn forks(&self, children: u32) -> Workload {
        Workload::start("mt-forks", ["forks", &children.to_string(), "1000", self.path()])
    }

    /// A process in it that has used so much of a CPU.
    pub fn run(&self, name: &str, milliseconds: u32) -> Workload {
        let hog = Workload::start(name, ["hog", "-", self.path(), &milliseconds.to_string()]);
        hog.done();
        hog
    }
}
