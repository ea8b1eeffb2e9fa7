//! The metric catalogue in words: what `monitor metrics` prints, and docs/metrics.md.

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    export::name::metric_name,
    metric::{Kind, MetricDesc, catalogue},
};

/// In what form the catalogue is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for a terminal
    Table,
    /// A JSON array of objects
    Json,
    /// The text of docs/metrics.md
    Markdown,
}

/// The attributes that all series of a group of processes have, and what they say.
const GROUP: [(&str, &str); 5] = [
    (
        "process.executable.name",
        "command name of the thread-group leader; `(other)` for the groups that are too many to be \
         exported one by one; `(retired)` for what evicted groups counted, two minutes after they were \
         evicted: exported before under their names, but for an outage or interval of more than two \
         minutes, so leave it out of rates",
    ),
    ("container.id", "id of the container, 64 hexadecimal digits"),
    ("container.name", "name of the container, where it is known"),
    ("systemd.unit", "systemd service or scope"),
    ("process.pid", "process id, only if processes are to be exported one by one"),
];

/// The catalogue in the form wanted, which ends with a line break.
pub fn render(format: Format) -> String {
    match format {
        Format::Table => table(),
        Format::Json => json(),
        Format::Markdown => markdown(),
    }
}

/// Whether the series of a metric are those of groups of processes.
fn is_grouped(metric: &MetricDesc) -> bool {
    metric.name.starts_with("monitor.process.")
}

/// The names of all attributes a metric can have.
fn attributes(metric: &MetricDesc) -> Vec<&'static str> {
    let group = GROUP.iter().map(|(name, _)| *name).filter(|_| is_grouped(metric));
    group.chain(metric.attributes.iter().copied()).collect()
}

fn kind(metric: &MetricDesc) -> &'static str {
    match metric.kind {
        Kind::Counter => "counter",
        Kind::UpDownCounter => "up-down counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

fn json() -> String {
    #[derive(Serialize)]
    struct Metric {
        name: &'static str,
        prometheus: String,
        unit: &'static str,
        kind: &'static str,
        attributes: Vec<&'static str>,
        help: &'static str,
        source: &'static str,
    }
    let metrics: Vec<_> = catalogue()
        .map(|metric| Metric {
            name: metric.name,
            prometheus: metric_name(metric),
            unit: metric.unit,
            kind: kind(metric),
            attributes: attributes(metric),
            help: metric.help,
            source: metric.source,
        })
        .collect();
    serde_json::to_string_pretty(&metrics).expect("strings are always JSON") + "\n"
}

fn table() -> String {
    let head = ["NAME", "KIND", "UNIT", "HELP"];
    let metrics = catalogue().map(|metric| [metric.name, kind(metric), metric.unit, metric.help]);
    let rows: Vec<_> = [head].into_iter().chain(metrics).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (names, kinds, units) = (width(0), width(1), width(2));
    let mut text = String::new();
    for [name, kind, unit, help] in &rows {
        text += &format!("{name:names$}  {kind:kinds$}  {unit:units$}  {help}\n");
    }
    text + "\nAttributes and Prometheus names: --format markdown or json\n"
}

fn markdown() -> String {
    let mut text = HEADER.to_owned();
    let mut sections: Vec<&str> = Vec::new();
    for name in catalogue().map(section) {
        if !sections.contains(&name) {
            sections.push(name);
        }
    }
    for name in sections {
        let metrics: Vec<_> = catalogue().filter(|metric| section(metric) == name).collect();
        text += &format!("\n## `{name}`\n");
        if metrics.iter().any(|metric| is_grouped(metric)) {
            text += GROUP_HEADER;
            text.extend(GROUP.map(|(name, meaning)| format!("- `{name}`: {meaning}\n")));
        }
        text.extend(metrics.into_iter().map(entry));
    }
    text
}

const HEADER: &str = "\
<!-- Written by `cargo xtask docs` from the metric catalogue; changes made here are lost. -->

# Metrics

All that `monitor` exports. Names, units and attributes are OpenTelemetry's; those below `system` and
`hw` are defined by its semantic conventions. Prometheus names follow by OpenTelemetry's rules, but for
a `.count` at the end, which Prometheus keeps for histograms; labels are the attributes with `_` for
every `.`. Histograms are exponential: in Prometheus they are native histograms, with classic buckets
beside them. By OTLP, their `min` and `max` are the bounds of the lowest and the highest bucket that is not
empty: the kernel counts no extremes.
";

const GROUP_HEADER: &str = "
These are counted by group: processes that have all of the following in common. The groups add up to
the host. What is not known of a group is left out.

";

/// The part of the documentation that a metric belongs to: the beginning of its name.
fn section(metric: &'static MetricDesc) -> &'static str {
    let words = if metric.name.starts_with("monitor.") { 2 } else { 1 };
    let end = metric.name.match_indices('.').nth(words - 1).map(|(at, _)| at);
    &metric.name[..end.unwrap_or(metric.name.len())]
}

fn entry(metric: &MetricDesc) -> String {
    let MetricDesc { name, unit, help, source, .. } = metric;
    let (prometheus, kind) = (metric_name(metric), kind(metric));
    let attributes = match metric.attributes {
        [] => String::new(),
        own => {
            let which = if is_grouped(metric) { "Beside those of the group" } else { "Attributes" };
            format!("- {which}: `{}`\n", own.join("`, `"))
        }
    };
    format!(
        "\n### `{name}`\n\n{help}.\n\n- Prometheus: `{prometheus}`\n- Kind and unit: {kind}, \
         `{unit}`\n{attributes}- Source: {source}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribution::Group;

    #[test]
    fn the_attributes_of_groups_are_those_of_attribution() {
        let group = Group {
            executable: "web".to_owned(),
            container_id: Some("id".to_owned()),
            container_name: Some("name".to_owned()),
            systemd_unit: Some("web.service".to_owned()),
            pid: Some(1),
        };
        let names: Vec<_> = group.attributes().iter().map(|(name, _)| name).collect();
        assert_eq!(names, GROUP.map(|(name, _)| name));
    }

    #[test]
    fn every_form_has_every_metric() {
        let json: serde_json::Value = serde_json::from_str(&render(Format::Json)).unwrap();
        let json = json.as_array().unwrap();
        let (table, markdown) = (render(Format::Table), render(Format::Markdown));
        assert_eq!(json.len(), catalogue().count());
        for (metric, object) in catalogue().zip(json) {
            assert_eq!(object["name"], metric.name);
            assert_eq!(object["prometheus"], metric_name(metric));
            assert!(table.contains(&format!("\n{} ", metric.name)));
            assert!(markdown.contains(&format!("\n### `{}`\n", metric.name)));
            assert!(markdown.contains(&format!("\n- Prometheus: `{}`\n", metric_name(metric))));
        }
        for text in [render(Format::Json), table, markdown] {
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"));
        }
    }

    #[test]
    fn json_has_the_attributes_of_groups_too() {
        let json: serde_json::Value = serde_json::from_str(&render(Format::Json)).unwrap();
        let switches = json
            .as_array()
            .unwrap()
            .iter()
            .find(|metric| metric["name"] == "monitor.process.context_switches")
            .unwrap();
        let attributes = switches["attributes"].as_array().unwrap();
        assert_eq!(attributes.len(), GROUP.len() + 1);
        assert_eq!(attributes[GROUP.len()], "process.context_switch.type");
    }
}
