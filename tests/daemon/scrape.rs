//! What `/metrics` says at one moment, in either form.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    program::Daemon,
    wire::{self, LabelPair, MetricFamily},
};

/// Asks for the protobuf form.
const PROTOBUF: &str = "application/vnd.google.protobuf;\
                        proto=io.prometheus.client.MetricFamily;encoding=delimited";

/// Labels by name.
pub type Labels = BTreeMap<String, String>;

/// Counts of native buckets by their number in Prometheus; that of the zero bucket is none.
pub type Buckets = BTreeMap<Option<i32>, u64>;

/// One scrape. Histograms are series of their name with `_count`, `_sum` and `_bucket`.
#[derive(Default)]
pub struct Scrape {
    /// Names of metrics, without what histograms add.
    pub names: BTreeSet<String>,
    /// Values by name and labels.
    pub series: BTreeMap<(String, Labels), f64>,
    /// Native histograms by name and labels, with their schema. Empty in the text form.
    pub native: BTreeMap<(String, Labels), (i32, Buckets)>,
    /// What native histograms show as an example, if they do, by name and labels.
    pub exemplars: BTreeMap<(String, Labels), (Labels, f64)>,
}

impl Scrape {
    /// Asks for the text form.
    pub fn text(daemon: &Daemon) -> Self {
        let answer = daemon.get("/metrics");
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("text/plain; version=0.0.4"), "{}", answer.head);
        Self::parse(answer.text())
    }

    /// Asks for the protobuf form.
    pub fn protobuf(daemon: &Daemon) -> Self {
        let answer = daemon.get_as("/metrics", PROTOBUF);
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("application/vnd.google.protobuf"), "{}", answer.head);
        let mut scrape = Self::default();
        for family in wire::decode(&answer.body) {
            scrape.add(family);
        }
        scrape
    }

    /// The value of the one series of this name that has these labels among its own.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let found = self.values(name, labels);
        assert!(found.len() < 2, "{name} with {labels:?} is more than one: {found:?}");
        found.first().copied()
    }

    /// The values of all series of this name that have these labels among their own.
    pub fn values(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let matches = |has: &Labels| {
            labels.iter().all(|(name, value)| has.get(*name).is_some_and(|it| it == value))
        };
        self.all(name).filter(|(has, _)| matches(has)).map(|(_, value)| value).collect()
    }

    /// Every series of a name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = (&Labels, f64)> {
        self.series
            .range((name.to_owned(), Labels::new())..)
            .take_while(move |((other, _), _)| other == name)
            .map(|((_, labels), value)| (labels, *value))
    }

    fn parse(text: &str) -> Self {
        let mut scrape = Self::default();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# TYPE ") {
                let name = rest.split(' ').next().unwrap_or_default();
                assert!(scrape.names.insert(name.to_owned()), "{name} is there twice");
            } else if !line.starts_with('#') {
                let (series, value) = line.rsplit_once(' ').expect("a series has a value");
                let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
                let value = value.parse().unwrap_or_else(|_| panic!("no number: {line}"));
                scrape.insert(name, parse_labels(labels), value);
            }
        }
        scrape
    }

    fn add(&mut self, family: MetricFamily) {
        let name = family.name;
        assert!(self.names.insert(name.clone()), "{name} is there twice");
        for metric in family.metric {
            let labels = by_name(metric.label);
            if let Some(number) = metric.counter.or(metric.gauge) {
                self.insert(&name, labels.clone(), number.value);
            }
            let Some(histogram) = metric.histogram else { continue };
            let buckets = histogram
                .bucket
                .iter()
                .map(|it| (it.upper_bound, it.cumulative_count))
                .chain([(f64::INFINITY, histogram.sample_count)]);
            for (bound, count) in buckets {
                let mut labels = labels.clone();
                labels.insert("le".to_owned(), bound.to_string());
                self.insert(&format!("{name}_bucket"), labels, count as f64);
            }
            self.insert(&format!("{name}_sum"), labels.clone(), histogram.sample_sum);
            let count = histogram.sample_count as f64;
            self.insert(&format!("{name}_count"), labels.clone(), count);
            let series = (name.clone(), labels);
            self.native.insert(series.clone(), (histogram.schema, native(&histogram)));
            for exemplar in histogram.exemplars {
                let example = (by_name(exemplar.label), exemplar.value);
                let before = self.exemplars.insert(series.clone(), example);
                assert!(before.is_none(), "{series:?} has several exemplars");
            }
        }
    }

    fn insert(&mut self, name: &str, mut labels: Labels, value: f64) {
        // Both forms write the same number in one way.
        if let Some(bound) = labels.get_mut("le") {
            *bound = bound.parse::<f64>().expect("bounds are numbers").to_string();
        }
        let before = self.series.insert((name.to_owned(), labels.clone()), value);
        assert!(before.is_none(), "{name}{labels:?} is there twice");
    }
}

fn by_name(labels: Vec<LabelPair>) -> Labels {
    labels.into_iter().map(|label| (label.name, label.value)).collect()
}

/// The counts of the buckets of a native histogram.
fn native(histogram: &wire::Histogram) -> Buckets {
    let mut buckets = BTreeMap::from([(None, histogram.zero_count)]);
    let (mut index, mut count) = (0, 0);
    let mut deltas = histogram.positive_delta.iter();
    for span in &histogram.positive_span {
        index += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("as many as the spans have buckets");
            buckets.insert(Some(index), count.try_into().expect("counts are not negative"));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

/// Reads `name="value",...}`.
fn parse_labels(mut text: &str) -> Labels {
    let mut labels = Labels::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut value = String::new();
        let mut chars = rest.char_indices();
        let end = loop {
            match chars.next().expect("values end") {
                (at, '"') => break at,
                (_, '\\') => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => panic!("values end"),
                },
                (_, c) => value.push(c),
            }
        };
        labels.insert(name.trim_start_matches(',').to_owned(), value);
        text = &rest[end + 1..];
    }
    labels
}
