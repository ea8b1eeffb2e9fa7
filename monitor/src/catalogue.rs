//! The metric catalogue in words: what `monitor metrics` prints, and docs/metrics.md.

use clap::ValueEnum;
use serde::Serialize;

use crate::{
    export::name::metric_name,
    metric::{Kind, MetricDesc, catalogue},
    renames,
};

/// Output format of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for a terminal
    Table,
    /// A JSON array of objects
    Json,
    /// The text of docs/metrics.md
    Markdown,
    /// Names that changed, as tab-separated values
    Renames,
}

/// The attributes that all series of a group of processes have, and what they say.
const GROUP: [(&str, &str); 5] = [
    (
        "process.executable.name",
        "command name of the thread-group leader; `(other)`: all groups beyond the limit; `(evicted)`: counts \
         of evicted groups, two minutes after their eviction. They were exported under their own names before, \
         except in an outage or export interval of more than two minutes: exclude them from rates",
    ),
    ("container.id", "id of the container, 64 hexadecimal digits"),
    ("container.name", "name of the container, if known"),
    ("systemd.unit", "systemd service or scope"),
    ("process.pid", "process ID, only with `groups.by = \"process\"`"),
];

/// The catalogue in the form wanted, which ends with a line break.
pub fn render(format: Format) -> String {
    match format {
        Format::Table => table(),
        Format::Json => json(),
        Format::Markdown => markdown(),
        Format::Renames => renames::tsv(),
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
        #[serde(skip_serializing_if = "str::is_empty")]
        details: &'static str,
        source: &'static str,
        /// The metric of process groups that this one is the sum of.
        #[serde(skip_serializing_if = "Option::is_none")]
        sum_of: Option<&'static str>,
    }
    let metrics: Vec<_> = catalogue()
        .map(|metric| Metric {
            name: metric.name,
            prometheus: metric_name(metric),
            unit: metric.unit,
            kind: kind(metric),
            attributes: attributes(metric),
            help: metric.help,
            details: metric.details,
            source: metric.source,
            sum_of: metric.process.map(|process| process.name),
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
    for name in &sections {
        text += &format!("\n## `{name}`\n");
        let metrics: Vec<_> = catalogue().filter(|metric| section(metric) == *name).collect();
        if metrics.iter().any(|metric| is_grouped(metric)) {
            text += GROUP_HEADER;
            text.extend(GROUP.map(|(name, meaning)| format!("- `{name}`: {meaning}\n")));
        }
        text += "\n| Metric | Measures | Kind, unit | Attributes |\n| --- | --- | --- | --- |\n";
        text.extend(metrics.into_iter().map(row));
    }
    text += DETAILS_HEADER;
    text.extend(catalogue().map(entry));
    text
}

const HEADER: &str = "\
<!-- Written by `cargo xtask docs` from the metric catalogue; changes made here are lost. -->

# Metrics

All metrics that `monitor` exports: one table per subsystem, then the [details](#details) of each metric (attribution, corner
cases, kernel versions, source). `monitor metrics` prints the same, also as JSON.

- **Names**: `system.*` and `hw.*` are OpenTelemetry's semantic conventions. In Prometheus every `.` is a `_`, with the unit and
  `_total` at the end: `monitor.process.dns.timeouts` is `monitor_process_dns_timeouts_total`. Labels are the attributes with
  `_` for every `.`. A `.count` at the end of a name is left out, as Prometheus reserves it.
- **Latency histograms** are exponential: native histograms in Prometheus, with classic buckets beside them. Count and sum are
  exact; `min` and `max` by OTLP are bucket bounds. Histograms of the host and of block devices have scale 3 (buckets 9 % wide),
  those of process groups, services and DNS servers scale 1 (41 %).
- **Groups**: `monitor.process.*` counts per process group. The groups sum to the host. Cardinality is limited: the top 100
  groups (`groups.top`) have series of their own, the rest is `(other)`.
- **Loss and overhead**: `monitor.agent.lost` counts dropped events, `monitor.agent.bpf.time` and `monitor.agent.map.size` are
  the overhead of the BPF programs.
- **Missing series**: a metric that this kernel cannot measure is absent, never zero; `monitor check` shows the reason.
";

const GROUP_HEADER: &str = "
Per group: processes with the same values of the following attributes, beside those in the table. Unknown attributes are
absent.

";

const DETAILS_HEADER: &str = "
## Details
";

/// The part of the documentation that a metric belongs to: the beginning of its name.
fn section(metric: &'static MetricDesc) -> &'static str {
    let words = if metric.name.starts_with("monitor.") { 2 } else { 1 };
    let end = metric.name.match_indices('.').nth(words - 1).map(|(at, _)| at);
    &metric.name[..end.unwrap_or(metric.name.len())]
}

/// A row of the table of a section. Attributes are without those of the group.
fn row(metric: &MetricDesc) -> String {
    let MetricDesc { name, unit, help, attributes, .. } = metric;
    let attributes: Vec<_> = attributes.iter().map(|name| format!("`{name}`")).collect();
    // The anchor that Markdown gives to the headline of its details.
    let anchor: String =
        name.chars().filter(|sign| sign.is_alphanumeric() || *sign == '_').collect();
    let (kind, attributes) = (kind(metric), attributes.join(", "));
    format!("| [`{name}`](#{anchor}) | {help} | {kind}, `{unit}` | {attributes} |\n")
}

fn entry(metric: &MetricDesc) -> String {
    let MetricDesc { name, details, source, process, host, .. } = metric;
    let sum = match (process, host) {
        (Some(process), _) => format!(" Sum of `{}` over all groups; details there.", process.name),
        (_, Some(host)) => format!(" The sum over all groups is `{}`.", host.name),
        _ => String::new(),
    };
    let separator = if details.is_empty() { "" } else { " " };
    format!(
        "\n### `{name}`\n\n{}.{separator}{details}{sum}\n\n- Prometheus: `{}`\n- Source: {source}\n",
        metric.help,
        metric_name(metric),
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
