//! What the maps of a daemon's `sched` probe hold, read beside the daemon.

use monitor_common::{
    Pod,
    hist::{self, COARSE_SHIFT},
    key::BANKS,
    sched::{Control, HostBank, LATENCIES, TaskStats},
};

use crate::{daemon::scrape::Buckets, objects::Held, sys::bpf::Map};

/// The maps.
pub struct Maps {
    control: Map<Control>,
    host: Map<HostBank>,
    tasks: Map<TaskStats>,
}

/// Durations of several ticks.
#[derive(Clone, Debug, Default)]
pub struct Durations {
    /// Exact sum in nanoseconds.
    pub sum_ns: u128,
    /// How much coarser than scale 3 the slots are.
    shift: u32,
    slots: Vec<u64>,
}

/// Of each latency.
pub type Latencies = [Durations; LATENCIES];

impl Maps {
    /// Opens those of a daemon.
    pub fn of(pid: u32) -> Self {
        let held = Held::by(pid);
        Self {
            control: open(&held, ".bss"),
            host: open(&held, "HOST"),
            tasks: open(&held, "TASKS"),
        }
    }

    /// The bank that programs do not write to.
    fn ended(&self) -> usize {
        let control = self.control.get(0);
        assert!(control.bank < BANKS as u64, "programs do not record yet");
        control.bank as usize ^ 1
    }

    /// Adds what the host measured in the tick that has ended, on all CPUs.
    pub fn add_host(&self, latencies: &mut Latencies) {
        let cpus = self.host.entries / BANKS as u32;
        let first = self.ended() as u32 * cpus;
        for entry in first..first + cpus {
            let cpu = self.host.get(entry);
            for (latency, durations) in latencies.iter_mut().enumerate() {
                durations.add(0, cpu.sums[latency], &cpu.slots[latency]);
            }
        }
    }

    /// Adds what was measured of a process with one thread in the tick that has ended.
    pub fn add_process(&self, pid: u32, latencies: &mut Latencies) {
        let ended = self.ended();
        let stats = self.tasks.of_process(pid);
        for (latency, durations) in latencies.iter_mut().enumerate() {
            let sum_ns = stats.summaries[ended][latency].sum;
            durations.add(COARSE_SHIFT, sum_ns, &stats.slots[ended][latency]);
        }
    }
}

fn open<V: Pod>(held: &Held, name: &str) -> Map<V> {
    Map::open(held.map(name, size_of::<V>()))
}

impl Durations {
    fn add(&mut self, shift: u32, sum_ns: u64, slots: &[u32]) {
        self.shift = shift;
        self.sum_ns += u128::from(sum_ns);
        self.slots.resize(slots.len(), 0);
        for (total, count) in self.slots.iter_mut().zip(slots) {
            *total += u64::from(*count);
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// What Prometheus calls the scale.
    pub fn schema(&self) -> i32 {
        (hist::SCALE - self.shift) as i32
    }

    /// As Prometheus numbers the buckets that are not empty.
    pub fn buckets(&self) -> Buckets {
        let used = self.slots.iter().enumerate().filter(|(_, count)| **count > 0);
        used.map(|(slot, count)| {
            (hist::slot_index(slot, self.shift).map(|index| index + 1), *count)
        })
        .collect()
    }
}
