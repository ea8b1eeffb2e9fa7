//! Events as log records, by the names of the semantic conventions where these have one.

use std::time::SystemTime;

use opentelemetry_proto::tonic::{
    common::v1::{AnyValue, KeyValue, any_value::Value},
    logs::v1::{LogRecord, SeverityNumber},
};

use super::{
    records::Records,
    value::{self, nanoseconds, number, pair, text, texts},
};
use crate::{
    attribution::Group,
    event::{Ending, Event, OomKill, Slow, What, signal_name},
};

impl Records {
    /// Sends an event of a process of a group.
    pub fn push_event(&self, event: &Event, group: &Group) {
        self.push("monitor::event".into(), &record(event, group));
    }
}

/// The log record of an event.
fn record(event: &Event, group: &Group) -> LogRecord {
    let (severity, severity_text) = match event.what {
        What::OomKill(_) => (SeverityNumber::Warn, "WARN"),
        _ => (SeverityNumber::Debug, "DEBUG"),
    };
    LogRecord {
        time_unix_nano: nanoseconds(event.time),
        observed_time_unix_nano: nanoseconds(SystemTime::now()),
        severity_number: severity.into(),
        severity_text: severity_text.to_owned(),
        body: Some(AnyValue { value: Some(text(event.what.text())) }),
        attributes: attributes(event, group),
        event_name: event.what.kind().name().to_owned(),
        ..LogRecord::default()
    }
}

fn attributes(event: &Event, group: &Group) -> Vec<KeyValue> {
    let place = [
        ("container.id", &group.container_id),
        ("container.name", &group.container_name),
        ("systemd.unit", &group.systemd_unit),
    ];
    let mut attributes = vec![
        pair("process.pid", number(event.process.pid)),
        pair("process.executable.name", text(&event.process.command())),
    ];
    attributes.extend(event.parent.map(|parent| pair("process.parent_pid", number(parent))));
    attributes.extend(
        place.into_iter().filter_map(|(name, value)| Some(pair(name, text(value.as_deref()?)))),
    );
    match &event.what {
        What::Fork { child } => attributes.push(pair("monitor.child.pid", number(*child))),
        What::Exec { argv: None } => {}
        What::Exec { argv: Some(argv) } => {
            attributes.push(pair("process.command_args", texts(&argv.words)));
            attributes.push(pair("monitor.command_args.cut", Value::BoolValue(argv.is_cut)));
        }
        What::Exit { ending, lifetime, peak_rss_bytes } => {
            attributes.extend(ended(*ending));
            let lifetime = Value::DoubleValue(lifetime.as_secs_f64());
            attributes.push(pair("monitor.process.lifetime_s", lifetime));
            attributes.push(pair("monitor.process.peak_rss_bytes", number(*peak_rss_bytes)));
        }
        What::OomKill(victim) => attributes.extend(killed(victim)),
        What::Slow(Slow { latency, tid, among }) => {
            attributes.push(pair("monitor.metric", text(among.group.metric.name)));
            let latency = Value::DoubleValue(latency.as_secs_f64());
            attributes.push(pair("monitor.latency_s", latency));
            attributes.extend(tid.map(|tid| pair("thread.id", number(tid))));
            attributes.extend(value::attributes(&among.subject));
        }
    }
    attributes
}

fn ended(ending: Ending) -> Vec<KeyValue> {
    match ending {
        Ending::Code(code) => vec![pair("process.exit.code", number(code))],
        Ending::Signal { number, core_dumped } => vec![
            pair("monitor.exit.signal", text(&signal_name(number))),
            pair("monitor.exit.core_dumped", Value::BoolValue(core_dumped)),
        ],
    }
}

fn killed(victim: &OomKill) -> Vec<KeyValue> {
    let mut attributes = vec![pair("monitor.memory.cgroup.id", number(victim.memory_cgroup_id))];
    if !victim.memory_cgroup.is_empty() {
        attributes.push(pair("monitor.memory.cgroup.name", text(&victim.memory_cgroup)));
    }
    if let Some(sizes) = victim.sizes {
        attributes.extend([
            pair("monitor.memory.virtual_bytes", number(sizes.virtual_bytes)),
            pair("monitor.memory.anonymous_bytes", number(sizes.anonymous_bytes)),
            pair("monitor.memory.file_bytes", number(sizes.file_bytes)),
            pair("monitor.memory.shared_bytes", number(sizes.shared_bytes)),
            pair("monitor.memory.swapped_bytes", number(sizes.swapped_bytes)),
        ]);
    }
    attributes
}
