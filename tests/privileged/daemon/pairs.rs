//! Which metrics of groups add up to which of the host.

use monitor::{
    export::name::{label_name, metric_name},
    metric::{Kind, MetricDesc, catalogue},
};

/// Such metrics by their names in Prometheus.
pub(crate) struct Pair {
    pub(crate) of_groups: String,
    pub(crate) of_host: String,
    pub(crate) is_histogram: bool,
    /// Labels that both have: the groups add up for each of their values.
    pub(crate) shared: Vec<String>,
}

/// All there are.
pub(crate) fn pairs() -> impl Iterator<Item = Pair> {
    let counts = |metric: &&MetricDesc| matches!(metric.kind, Kind::Counter | Kind::Histogram);
    catalogue().filter(counts).filter_map(|group| Some((group, group.host?))).map(
        |(group, host)| {
            let shared = group.attributes.iter().filter(|name| host.attributes.contains(name));
            Pair {
                of_groups: metric_name(group),
                of_host: metric_name(host),
                is_histogram: host.kind == Kind::Histogram,
                shared: shared.map(|name| label_name(name)).collect(),
            }
        },
    )
}
