//! `target_info`: the resource as a metric.

use std::collections::BTreeMap;

use opentelemetry_sdk::Resource;
use prometheus::proto;

use super::{super::name::label_name, histogram, wire};

const NAME: &str = "target_info";
const HELP: &str = "Target metadata";

/// It in the text form.
pub(super) fn text(resource: &Resource) -> proto::MetricFamily {
    let labels = labels(resource);
    let labels = labels.into_iter().map(|(name, value)| histogram::label(name, &value)).collect();
    let mut metric = proto::Metric::from_label(labels);
    let mut gauge = proto::Gauge::default();
    gauge.set_value(1.0);
    metric.set_gauge(gauge);
    let mut family = proto::MetricFamily::default();
    family.set_name(NAME.to_owned());
    family.set_help(HELP.to_owned());
    family.set_field_type(proto::MetricType::GAUGE);
    family.set_metric(vec![metric]);
    family
}

/// It in the protobuf form.
pub(super) fn protobuf(resource: &Resource) -> wire::MetricFamily {
    let labels = labels(resource).into_iter();
    let gauge = Some(wire::Gauge { value: 1.0 });
    let label = labels.map(|(name, value)| wire::LabelPair { name, value }).collect();
    wire::MetricFamily {
        name: NAME.to_owned(),
        help: HELP.to_owned(),
        r#type: wire::MetricType::Gauge.into(),
        metric: vec![wire::Metric { label, gauge, ..wire::Metric::default() }],
    }
}

/// Labels by name. The values of attributes that get the same one are joined, as the specification says.
fn labels(resource: &Resource) -> BTreeMap<String, String> {
    let mut pairs: Vec<_> = resource.iter().collect();
    pairs.sort_by_key(|(key, _)| key.as_str());
    let mut labels = BTreeMap::<String, String>::new();
    for (key, value) in pairs {
        let value = value.to_string();
        labels
            .entry(label_name(key.as_str()))
            .and_modify(|known| *known = format!("{known};{value}"))
            .or_insert(value);
    }
    labels
}
