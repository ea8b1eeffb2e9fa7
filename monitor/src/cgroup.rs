//! What the cgroups of containers and units say of themselves: how long they were kept from a CPU by
//! their quota, and how long they were stalled.

mod decode;
#[cfg(test)]
mod tests;
mod watch;

use std::{fs, sync::Arc, time::Duration};

use self::watch::{File, Source, Watch};
use crate::{
    attribution::{CgroupMount, Group, Hierarchy, Names, Places},
    host::HostPaths,
    metric::{
        CGROUP_CPU_PERIODS, CGROUP_CPU_THROTTLED_PERIODS, CGROUP_CPU_THROTTLED_TIME,
        CGROUP_PRESSURE_TIME, MetricDesc,
    },
    sample::{Attributes, CgroupChange, CgroupEvent},
};

/// Takes by how much a counter of a container or unit has gone up.
pub type Sink<'a> = dyn FnMut(&Arc<Group>, &'static MetricDesc, &Attributes, u64) + 'a;

/// All that is read.
pub struct Cgroups {
    places: Places,
    /// One for each hierarchy.
    watches: Vec<Watch>,
    /// The hierarchy whose changes are reported.
    reported: Option<CgroupMount>,
    /// What this host does not have, in sentences.
    absent: Vec<String>,
}

impl Cgroups {
    /// Everything that can be read on the host that is seen at `paths`. `mount` is where its containers
    /// and units are, `names` what containers are called.
    pub fn new(paths: &HostPaths, mount: Option<&CgroupMount>, names: Names) -> Self {
        let mut cgroups = Self {
            places: Places::new(names),
            watches: Vec::new(),
            reported: mount.cloned(),
            absent: Vec::new(),
        };
        let sources = [(THROTTLING, throttling(mount)), (PRESSURE, pressure(paths))];
        for (what, source) in sources {
            match source {
                Ok((mount, files)) => cgroups.add(mount, Source::new(what, files)),
                Err(reason) => cgroups.absent.push(format!("{what} not measured: {reason}")),
            }
        }
        cgroups
    }

    fn add(&mut self, mount: CgroupMount, source: Source) {
        match self.watches.iter_mut().find(|watch| *watch.mount() == mount) {
            Some(watch) => watch.add(source),
            None => self.watches.push(Watch::new(mount, source)),
        }
    }

    /// Reads what is due, and tells what has changed.
    pub fn collect(&mut self, sink: &mut Sink<'_>) {
        for watch in &mut self.watches {
            watch.collect(&mut self.places, sink);
        }
    }

    /// Takes the report that a cgroup was created or removed, and tells what one that was removed counted
    /// after it was last read.
    pub fn changed(&mut self, change: &CgroupChange<'_>, sink: &mut Sink<'_>) {
        let reported = self.reported.as_ref();
        for watch in self.watches.iter_mut().filter(|watch| Some(watch.mount()) == reported) {
            watch.changed(change, &mut self.places, sink);
        }
    }

    /// How old the oldest reading is.
    pub fn age(&self) -> Option<Duration> {
        self.watches.iter().filter_map(Watch::age).max()
    }

    /// What is not measured as this host has nothing of the kind, in sentences.
    pub fn absent(&self) -> impl Iterator<Item = String> {
        self.absent.iter().cloned().chain(self.watches.iter().flat_map(Watch::absent))
    }

    /// What was not read, by reason.
    pub fn lost(&self) -> [(&'static str, u64); 2] {
        let sum = |of: fn(&Watch) -> u64| self.watches.iter().map(of).sum();
        [("too_many", sum(Watch::unread)), ("search_cut", sum(Watch::cut_searches))]
    }
}

const THROTTLING: &str = "throttling of cgroups";
const PRESSURE: &str = "pressure on cgroups";

/// Where files are, and which.
type Files = (CgroupMount, Vec<File>);

fn throttling(mount: Option<&CgroupMount>) -> Result<Files, String> {
    let mount = mount.filter(|mount| {
        matches!(mount.hierarchy, Hierarchy::V2 | Hierarchy::V1 { controller: "cpu" })
    });
    let mount =
        mount.ok_or("no hierarchy of the cpu controller is mounted; mount /sys/fs/cgroup")?;
    let metrics = [&CGROUP_CPU_PERIODS, &CGROUP_CPU_THROTTLED_PERIODS, &CGROUP_CPU_THROTTLED_TIME];
    let file = File {
        name: "cpu.stat",
        decode: decode::throttling,
        at_end: |event| match event {
            CgroupEvent::Removed { throttling } => *throttling,
            CgroupEvent::Created => None,
        },
        counters: metrics.map(|metric| (metric, Attributes::default())).into(),
    };
    Ok((mount.clone(), vec![file]))
}

fn pressure(paths: &HostPaths) -> Result<Files, String> {
    let witness = paths.proc.join("pressure/cpu");
    if let Err(error) = fs::read(&witness) {
        let remedy = "boot a kernel that has CONFIG_PSI with psi=1";
        return Err(format!("cannot read {}: {error}; {remedy}", witness.display()));
    }
    let mount = CgroupMount::version_2(paths);
    let mount = mount.ok_or("only cgroups of version 2 have it, and none are mounted")?;
    let file = |name, resource| {
        let attributes = |kind| {
            Attributes::new([
                ("monitor.pressure.resource", resource),
                ("monitor.pressure.stall_type", kind),
            ])
        };
        let counters = ["some", "full"].map(|kind| (&CGROUP_PRESSURE_TIME, attributes(kind)));
        File { name, decode: decode::pressure, at_end: |_| None, counters: counters.into() }
    };
    let files = [("cpu.pressure", "cpu"), ("io.pressure", "io"), ("memory.pressure", "memory")];
    Ok((mount, files.map(|(name, resource)| file(name, resource)).into()))
}
