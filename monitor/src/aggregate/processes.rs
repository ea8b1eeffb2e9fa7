//! What each process did in one tick; nothing is kept from tick to tick.

use std::{collections::HashMap, sync::Arc, time::Duration};

use monitor_common::hist::COARSE_SHIFT;

use super::add_slots;
use crate::{
    attribution::Group,
    metric::{
        PROCESS_CONTEXT_SWITCHES, PROCESS_CPU_THROTTLED_LATENCY, PROCESS_CPU_TIME,
        PROCESS_OFFCPU_LATENCY, PROCESS_RUNQUEUE_LATENCY,
    },
    sample::{Sample, Value},
    view::{Histogram, ProcessRow},
};

/// How many processes a view lists.
const ROWS: usize = 1000;

/// The processes of the tick under way.
#[derive(Default)]
pub(super) struct Processes {
    rows: HashMap<u32, Row>,
}

struct Row {
    group: Arc<Group>,
    cpu_ns: u64,
    switches: u64,
    offcpu_ns: u128,
    throttled_ns: u128,
    runqueue: Histogram,
}

impl Processes {
    /// Adds a sample of a process.
    pub(super) fn add(&mut self, pid: u32, group: &Arc<Group>, sample: &Sample<'_>) {
        let row = self.rows.entry(pid).or_insert_with(|| Row {
            group: group.clone(),
            cpu_ns: 0,
            switches: 0,
            offcpu_ns: 0,
            throttled_ns: 0,
            runqueue: Histogram::empty(COARSE_SHIFT),
        });
        let is = |metric| std::ptr::eq(sample.metric, metric);
        match &sample.value {
            Value::Increase(ns) if is(&PROCESS_CPU_TIME) => row.cpu_ns += ns,
            Value::Increase(count) if is(&PROCESS_CONTEXT_SWITCHES) => row.switches += count,
            Value::Histogram(durations) if is(&PROCESS_RUNQUEUE_LATENCY) => {
                row.runqueue.sum_ns += durations.sum_ns;
                add_slots(&mut row.runqueue.slots, durations);
            }
            Value::Histogram(durations) if is(&PROCESS_OFFCPU_LATENCY) => {
                row.offcpu_ns += durations.sum_ns;
            }
            Value::Histogram(durations) if is(&PROCESS_CPU_THROTTLED_LATENCY) => {
                row.throttled_ns += durations.sum_ns;
            }
            _ => {}
        }
    }

    /// The rows of the tick, the longest wait for a CPU first, and an empty table for the next.
    pub(super) fn take(&mut self, interval: Duration) -> Vec<ProcessRow> {
        let mut rows: Vec<_> = self.rows.drain().collect();
        rows.sort_by_key(|(pid, row)| (std::cmp::Reverse((row.runqueue.sum_ns, row.cpu_ns)), *pid));
        rows.truncate(ROWS);
        rows.into_iter().map(|(pid, row)| row.finish(pid, interval)).collect()
    }
}

impl Row {
    fn finish(self, pid: u32, interval: Duration) -> ProcessRow {
        ProcessRow {
            pid,
            name: self.group.executable.clone(),
            container_id: self.group.container_id.clone(),
            systemd_unit: self.group.systemd_unit.clone(),
            cpu: self.cpu_ns as f64 / 1e9 / interval.as_secs_f64().max(1e-9),
            runs: self.runqueue.count(),
            runqueue_seconds: self.runqueue.sum_seconds(),
            runqueue_p50: self.runqueue.quantile(0.5).unwrap_or(0.0),
            runqueue_p99: self.runqueue.quantile(0.99).unwrap_or(0.0),
            throttled_seconds: self.throttled_ns as f64 / 1e9,
            offcpu_seconds: self.offcpu_ns as f64 / 1e9,
            switches: self.switches,
        }
    }
}

#[cfg(test)]
mod tests {
    use monitor_common::key::ProcessKey;

    use super::*;
    use crate::{
        metric::MetricDesc,
        sample::{Attributes, Durations, Owner},
    };

    #[test]
    fn a_throttled_thread_does_not_contend_for_a_cpu() {
        let (mut processes, group) = (Processes::default(), Arc::default());
        let attributes = &Attributes::default();
        let mut add = |metric: &'static MetricDesc, sum_ns| {
            let durations =
                Durations { shift: COARSE_SHIFT, sum_ns, slots: &[(60, 2)], left_behind: false };
            let (owner, value) = (Owner::from(&ProcessKey::default()), Value::Histogram(durations));
            processes.add(7, &group, &Sample { metric, owner, attributes, value });
        };
        add(&PROCESS_RUNQUEUE_LATENCY, 250_000_000);
        add(&PROCESS_CPU_THROTTLED_LATENCY, 500_000_000);
        let row = &processes.take(Duration::from_secs(1))[0];
        assert_eq!((row.runs, row.runqueue_seconds, row.throttled_seconds), (2, 0.25, 0.5));
    }
}
