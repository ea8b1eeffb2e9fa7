//! Memory and swap space: by sysinfo, with what it does not tell from `/proc/meminfo`.

use sysinfo::System;

use super::file::{ProcFile, not_overlaid, numbers};
use super::{Emit, Error, HostPaths, Part};
use crate::metric;
use crate::sample::Attributes;

pub(super) struct Memory {
    system: System,
    meminfo: ProcFile,
    more: More,
    states: States,
}

/// What sysinfo does not tell, in bytes.
#[derive(Default)]
struct More {
    buffers: u64,
    cached: u64,
    shared: u64,
    reclaimable: u64,
    unreclaimable: u64,
}

struct States {
    used: Attributes,
    free: Attributes,
    cached: Attributes,
    buffers: Attributes,
    reclaimable: Attributes,
    unreclaimable: Attributes,
    swap_used: Attributes,
    swap_free: Attributes,
}

impl Memory {
    pub(super) fn new(paths: &HostPaths) -> Result<Self, Error> {
        let state = |state| Attributes::new([("system.memory.state", state)]);
        let slab = |state| Attributes::new([("system.memory.linux.slab.state", state)]);
        let swap = |state| Attributes::new([("system.paging.state", state)]);
        Ok(Self {
            system: System::new()?,
            meminfo: ProcFile::new(paths.proc.join("meminfo")),
            more: More::default(),
            states: States {
                used: state("used"),
                free: state("free"),
                cached: state("cached"),
                buffers: state("buffers"),
                reclaimable: slab("reclaimable"),
                unreclaimable: slab("unreclaimable"),
                swap_used: swap("used"),
                swap_free: swap("free"),
            },
        })
    }
}

impl Part for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn refresh(&mut self) -> Result<(), Error> {
        not_overlaid("/proc/meminfo")?;
        self.system.refresh_memory();
        for line in self.meminfo.read()?.lines() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let field = match key {
                "Buffers" => &mut self.more.buffers,
                "Cached" => &mut self.more.cached,
                "Shmem" => &mut self.more.shared,
                "SReclaimable" => &mut self.more.reclaimable,
                "SUnreclaim" => &mut self.more.unreclaimable,
                _ => continue,
            };
            *field = numbers(value).next().unwrap_or(0) * 1024;
        }
        match self.system.total_memory() {
            0 => Err(self.meminfo.lacks("MemTotal")),
            _ => Ok(()),
        }
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        let Self { system, more, states, .. } = self;
        let none = Attributes::default();
        let limit = system.total_memory() as f64;
        emit.gauge(&metric::SYSTEM_MEMORY_LIMIT, &none, limit);
        for (attributes, bytes) in [
            (&states.used, system.used_memory()),
            (&states.free, system.free_memory()),
            (&states.cached, more.cached),
            (&states.buffers, more.buffers),
        ] {
            emit.gauge(&metric::SYSTEM_MEMORY_USAGE, attributes, bytes as f64);
            emit.gauge(&metric::SYSTEM_MEMORY_UTILIZATION, attributes, bytes as f64 / limit);
        }
        let available = system.available_memory() as f64;
        emit.gauge(&metric::SYSTEM_MEMORY_LINUX_AVAILABLE, &none, available);
        emit.gauge(&metric::SYSTEM_MEMORY_LINUX_SHARED, &none, more.shared as f64);
        for (attributes, bytes) in
            [(&states.reclaimable, more.reclaimable), (&states.unreclaimable, more.unreclaimable)]
        {
            emit.gauge(&metric::SYSTEM_MEMORY_LINUX_SLAB_USAGE, attributes, bytes as f64);
        }
        let limit = system.total_swap() as f64;
        for (attributes, bytes) in
            [(&states.swap_used, system.used_swap()), (&states.swap_free, system.free_swap())]
        {
            emit.gauge(&metric::SYSTEM_PAGING_USAGE, attributes, bytes as f64);
            if limit > 0.0 {
                emit.gauge(&metric::SYSTEM_PAGING_UTILIZATION, attributes, bytes as f64 / limit);
            }
        }
    }
}

#[cfg(test)]
mod tests;
