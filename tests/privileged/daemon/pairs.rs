//! Which metrics of groups add up to which of the host.

use monitor::{
    export::name::{label_name, metric_name},
    metric::{Kind, MetricDesc, catalogue},
};

/// Pairs that are not named alike. All others are: `monitor.process.block.io` is a part of
/// `monitor.block.io`.
const NAMED_OTHERWISE: [(&str, &str); 2] = [
    ("monitor.process.runqueue.latency", "monitor.sched.runqueue.latency"),
    ("monitor.process.offcpu.latency", "monitor.sched.offcpu.latency"),
];

/// Metrics of the host that are named like one of groups and count something else; with the reason.
const NO_SUMS: [(&str, &str); 0] = [];

/// A metric of groups, and the one of the host that it is a part of, by their names in Prometheus.
pub(crate) struct Pair {
    pub(crate) of_groups: String,
    pub(crate) of_host: String,
    pub(crate) is_histogram: bool,
    /// Labels that both have: the groups add up for each of their values.
    pub(crate) shared: Vec<String>,
}

/// All of the catalogue.
pub(crate) fn pairs() -> Vec<Pair> {
    let find = |name: &str| catalogue().find(|metric| metric.name == name);
    let pair = |group: &'static MetricDesc| {
        let rest = group.name.strip_prefix("monitor.process.")?;
        let otherwise = NAMED_OTHERWISE.iter().find(|(name, _)| *name == group.name);
        let host = otherwise.map_or(format!("monitor.{rest}"), |(_, host)| (*host).to_owned());
        let host = find(&host).filter(|host| host.kind == group.kind)?;
        let is_sum = NO_SUMS.iter().all(|(name, _)| *name != host.name);
        (is_sum && matches!(host.kind, Kind::Counter | Kind::Histogram)).then(|| Pair {
            of_groups: metric_name(group),
            of_host: metric_name(host),
            is_histogram: host.kind == Kind::Histogram,
            shared: group
                .attributes
                .iter()
                .filter(|name| host.attributes.contains(name))
                .map(|name| label_name(name))
                .collect(),
        })
    };
    catalogue().filter_map(pair).collect()
}

/// Fails for an exception or a name that is of no use any more.
#[test]
fn every_exception_is_one() {
    let exists = |name: &str| catalogue().any(|metric| metric.name == name);
    for (group, host) in NAMED_OTHERWISE {
        assert!(exists(group) && exists(host), "{group} and {host}");
    }
    for (host, reason) in NO_SUMS {
        let group = host.replacen("monitor.", "monitor.process.", 1);
        assert!(exists(host) && exists(&group) && !reason.is_empty(), "{host}");
    }
    let pairs = pairs();
    assert!(pairs.len() >= NAMED_OTHERWISE.len());
    for Pair { of_groups, of_host, shared, .. } in pairs {
        println!("{of_groups} adds up to {of_host}, by {shared:?}");
    }
}
