//! What the daemon says of itself: the cost of programs and maps, the state of probes, the ledger.

use std::{collections::HashMap, time::Duration};

use crate::{
    metric::{
        AGENT_AUDIT_RATIO, AGENT_BPF_RECURSION_MISSES, AGENT_BPF_RUNS, AGENT_BPF_TIME,
        AGENT_CGROUP_READING_AGE, AGENT_LOST, AGENT_MAP_CAPACITY, AGENT_MAP_ENTRIES,
        AGENT_MAP_SIZE, AGENT_PROBE_STATE, AGENT_TICK_DURATION, MetricDesc,
    },
    probe::Probe,
    sample::{Attributes, Owner, Sample, Value},
    view::{AuditRow, ProbeStatus},
};

/// Makes the samples; it keeps their attributes from tick to tick.
#[derive(Default)]
pub struct Agent {
    attributes: HashMap<(&'static str, String), Attributes>,
}

impl Agent {
    /// How long the last tick took.
    pub fn tick(&mut self, duration: Duration, sink: &mut dyn FnMut(Sample<'_>)) {
        let none = Attributes::default();
        emit(&AGENT_TICK_DURATION, &none, Value::Gauge(duration.as_secs_f64()), sink);
    }

    /// How old what was read of cgroups is.
    pub fn reading_age(&mut self, age: Duration, sink: &mut dyn FnMut(Sample<'_>)) {
        let none = Attributes::default();
        emit(&AGENT_CGROUP_READING_AGE, &none, Value::Gauge(age.as_secs_f64()), sink);
    }

    /// In what state a probe is.
    pub fn status(&mut self, status: &ProbeStatus, sink: &mut dyn FnMut(Sample<'_>)) {
        let state = format!("{:?}", status.state).to_lowercase();
        let attributes = self.pair(status.probe, "monitor.probe.state", &state);
        emit(&AGENT_PROBE_STATE, attributes, Value::Gauge(1.0), sink);
    }

    /// What a probe's programs and maps cost.
    pub fn costs(
        &mut self,
        name: &'static str,
        probe: &dyn Probe,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        let programs: Vec<_> = probe.accounts().programs().collect();
        for (program, stats) in &programs {
            let attributes = self.pair(name, "monitor.program", program);
            let missed = Value::Total(stats.recursion_misses as f64);
            emit(&AGENT_BPF_RECURSION_MISSES, attributes, missed, sink);
            if stats.runs > 0 {
                emit(&AGENT_BPF_RUNS, attributes, Value::Total(stats.runs as f64), sink);
                let seconds = stats.run_time_ns as f64 / 1e9;
                emit(&AGENT_BPF_TIME, attributes, Value::Total(seconds), sink);
            }
        }
        if !programs.is_empty() {
            self.lost(name, "recursion_misses", probe.skipped(&programs), sink);
        }
        let entries = probe.entries();
        for (map, stats) in probe.accounts().maps() {
            let attributes = self.pair(name, "monitor.map", map);
            let mut size_bytes = stats.size_bytes;
            if let Some(used) = entries.iter().find(|used| used.map == map) {
                size_bytes = size_bytes.max(used.storage_bytes);
                emit(&AGENT_MAP_ENTRIES, attributes, Value::Gauge(used.entries as f64), sink);
            }
            emit(&AGENT_MAP_SIZE, attributes, Value::Gauge(size_bytes as f64), sink);
            if stats.capacity > 0 {
                emit(&AGENT_MAP_CAPACITY, attributes, Value::Gauge(stats.capacity as f64), sink);
            }
        }
    }

    /// What was lost, and why.
    pub fn lost(
        &mut self,
        probe: &'static str,
        reason: &str,
        count: u64,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        let attributes = self.pair(probe, "monitor.loss.reason", reason);
        emit(&AGENT_LOST, attributes, Value::Total(count as f64), sink);
    }

    /// How a count compares with the kernel's.
    pub fn audit(row: &AuditRow, sink: &mut dyn FnMut(Sample<'_>)) {
        let Some(ratio) = row.ratio() else { return };
        let probe = ("monitor.probe", row.probe);
        let counter = ("monitor.audit.counter", row.counter);
        let device = (!row.device.is_empty()).then_some(("system.device", row.device.as_str()));
        let attributes = Attributes::new([probe, counter].into_iter().chain(device));
        emit(&AGENT_AUDIT_RATIO, &attributes, Value::Gauge(ratio), sink);
    }

    /// The attributes of a probe, and one more.
    fn pair(&mut self, probe: &'static str, name: &'static str, value: &str) -> &Attributes {
        self.attributes.entry((probe, format!("{name}={value}"))).or_insert_with(|| {
            Attributes::new([("monitor.probe", probe.to_owned()), (name, value.to_owned())])
        })
    }
}

fn emit(
    metric: &'static MetricDesc,
    attributes: &Attributes,
    value: Value<'_>,
    sink: &mut dyn FnMut(Sample<'_>),
) {
    sink(Sample { metric, owner: Owner::Host, attributes, value });
}
