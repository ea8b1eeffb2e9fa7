//! Prometheus names, by OpenTelemetry's rules: the same that `opentelemetry-prometheus` and the OTLP
//! receiver of Prometheus itself follow, so that a metric is called the same whichever way it came.

use crate::metric::{Kind, MetricDesc};

/// The Prometheus name of a metric: `monitor.process.cpu.time` in `s` is
/// `monitor_process_cpu_time_seconds_total`.
pub fn metric_name(metric: &MetricDesc) -> String {
    let (name, unit) = instrument(metric);
    let mut name = label_name(name);
    if let Some(suffix) = unit_suffix(unit) {
        name.push('_');
        name.push_str(suffix);
    }
    if metric.kind == Kind::Counter {
        name.push_str("_total");
    }
    name
}

/// The name and the unit that a Prometheus name is made from. They are the metric's own, but for
/// what Prometheus keeps for others: a `.count` at the end is for histograms, so that
/// `system.process.count` is `system_process`; and only a gauge of unit `1` is a ratio.
pub(super) fn instrument(metric: &MetricDesc) -> (&'static str, &'static str) {
    match metric.kind {
        Kind::Counter | Kind::Histogram => (metric.name, no_ratio(metric.unit)),
        Kind::UpDownCounter => (no_count(metric.name), no_ratio(metric.unit)),
        Kind::Gauge => (no_count(metric.name), metric.unit),
    }
}

fn no_count(name: &'static str) -> &'static str {
    name.strip_suffix(".count").unwrap_or(name)
}

fn no_ratio(unit: &'static str) -> &'static str {
    if unit == "1" { "" } else { unit }
}

/// The Prometheus label for an attribute: `container.id` is `container_id`.
pub fn label_name(attribute: &str) -> String {
    attribute.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// What a unit adds to a name. Prometheus wants base units, so there are no others; what stands in
/// braces, such as `{switch}`, says what is counted and is no unit.
fn unit_suffix(unit: &str) -> Option<&'static str> {
    match unit {
        "s" => Some("seconds"),
        "By" => Some("bytes"),
        "Cel" => Some("celsius"),
        "Hz" => Some("hertz"),
        "1" => Some("ratio"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metric::catalogue;

    #[test]
    fn names_and_labels_tell_metrics_and_attributes_apart() {
        let names: BTreeSet<_> = catalogue().map(metric_name).collect();
        assert_eq!(names.len(), catalogue().count());
        let attributes: BTreeSet<_> = catalogue().flat_map(|metric| metric.attributes).collect();
        let labels: BTreeSet<_> =
            attributes.iter().map(|attribute| label_name(attribute)).collect();
        assert_eq!(labels.len(), attributes.len());
    }

    /// Prometheus leaves a unit out that the name has already, and `opentelemetry-prometheus` does
    /// not: such a name would not be the same both ways.
    #[test]
    fn no_name_repeats_its_unit() {
        for metric in catalogue() {
            if let Some(suffix) = unit_suffix(metric.unit) {
                let repeats = label_name(metric.name).split('_').any(|word| word == suffix);
                assert!(!repeats, "{}: its unit is in its name", metric.name);
            }
        }
    }

    #[test]
    fn units_are_base_units() {
        for metric in catalogue() {
            assert!(
                metric.unit.starts_with('{') || unit_suffix(metric.unit).is_some(),
                "{}: {} is no unit that names are made of",
                metric.name,
                metric.unit,
            );
        }
    }
}
