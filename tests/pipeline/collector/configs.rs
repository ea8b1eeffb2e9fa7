//! The Collector's configurations: all are valid, and name what exists.

use std::{collections::BTreeSet, fs};

use monitor::{attribution::Group, metric};
use monitor_backends::{Collector, Ports, Programs};

/// Every configuration as it is used: files on top of each other.
const USES: [&[&str]; 8] = [
    &["agent.yaml"],
    &["agent.yaml", "cloudwatch.yaml"],
    &["agent.yaml", "cloudwatch-otlp.yaml"],
    &["agent.yaml", "gateway.yaml"],
    &["agent.yaml", "gateway.yaml", "cloudwatch.yaml"],
    &["agent.yaml", "gateway.yaml", "cloudwatch-otlp.yaml"],
    &["agent.yaml", "gateway.yaml", "kafka-out.yaml"],
    &["agent.yaml", "kafka-in.yaml"],
];
/// Metrics that CloudWatch gets at most.
const HEADLINES: usize = 10;
/// What names of ours begin with.
const PREFIXES: [&str; 4] = ["hw.", "monitor.", "process.", "system."];

fn text(name: &str) -> String {
    let path = Collector::file(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path:?}: {error}"))
}

/// What the configurations are called.
fn configs() -> BTreeSet<String> {
    let files = fs::read_dir(Collector::file("")).expect("it is in the repository");
    let names = files.map(|file| file.expect("it can be listed").file_name());
    let names = names.map(|name| name.into_string().expect("a plain name"));
    names.filter(|name| name.ends_with(".yaml") && name != "builder.yaml").collect()
}

/// All names of metrics and attributes in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '.' || c == '_'));
    words.filter(|word| PREFIXES.iter().any(|prefix| word.starts_with(prefix))).collect()
}

/// What follows `key` in lines of a text, up to the next mark.
fn values<'a>(text: &'a str, key: &str) -> Vec<&'a str> {
    let found = text.lines().filter_map(|line| Some(line.split_once(key)?.1.trim()));
    found.map(|rest| rest.split([',', '}', ' ', '"', '`']).next().unwrap_or_default()).collect()
}

/// The metrics that go to CloudWatch.
fn headlines(config: &str) -> Vec<&str> {
    let (_, rest) = config.split_once("metric_names:\n").expect("there is a list");
    rest.lines().map_while(|line| line.trim().strip_prefix("- ")).collect()
}

fn unit(name: &str) -> &'static str {
    let metric = metric::catalogue().find(|metric| metric.name == name);
    metric.unwrap_or_else(|| panic!("no metric is called {name}")).unit
}

#[test]
fn every_configuration_is_valid() {
    let programs = Programs::find().expect("they were made");
    let used: BTreeSet<String> =
        USES.iter().copied().flatten().map(|name| (*name).to_owned()).collect();
    assert_eq!(used, configs(), "configurations that are used, and that there are");
    for files in USES {
        let collector = Collector::new(Ports::free().expect("there are ports"), files)
            .with("COLLECTOR_TLS_CERTIFICATE", "/nonexistent")
            .with("COLLECTOR_TLS_KEY", "/nonexistent");
        let output = collector.command(&programs).arg("validate").output().expect("it starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{files:?}: {said}");
    }
}

#[test]
fn an_agent_without_a_token_is_refused() {
    let programs = Programs::find().expect("they were made");
    let collector = Collector::new(Ports::free().expect("there are ports"), &["agent.yaml"]);
    let collector = collector.with("COLLECTOR_TOKEN", "");
    let output = collector.command(&programs).arg("validate").output().expect("it starts");
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn every_name_is_in_the_catalogue() {
    // What tells groups of processes apart is not in the catalogue.
    let group = Group { executable: "web".to_owned(), pid: Some(1), ..Group::default() };
    let group = group.attributes();
    let known: BTreeSet<&str> = metric::catalogue()
        .flat_map(|metric| metric.attributes.iter().copied().chain([metric.name]))
        .chain(group.iter().map(|(name, _)| name))
        .collect();
    for file in configs().iter().map(String::as_str).chain(["README.md"]) {
        let text = text(file);
        let unknown: Vec<_> =
            names(&text).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "{file} names what the daemon does not have: {unknown:?}");
    }
}

#[test]
fn cloudwatch_gets_ten_metrics_with_its_own_units() {
    let config = text("cloudwatch.yaml");
    let headlines = headlines(&config);
    assert!((1..=HEADLINES).contains(&headlines.len()), "{headlines:?}");
    // A condition on a metric that is not there would do nothing.
    for name in values(&config, "metric.name == \"") {
        assert!(headlines.contains(&name), "{name} is told apart, and not sent");
    }
    let descriptors = values(&config, "metric_name: ");
    assert_eq!(descriptors, headlines, "metrics with units");
    let readme = text("README.md");
    assert_eq!(
        values(&readme, "| `monitor.").len() + values(&readme, "| `system.").len(),
        headlines.len()
    );
    for (name, given) in headlines.iter().zip(values(&config, "unit: ")) {
        let wanted = match unit(name) {
            "s" => "Seconds",
            "By" => "Bytes",
            "1" => "None",
            annotation if annotation.starts_with('{') => "Count",
            other => panic!("{name} is in {other}, for which there is no unit here"),
        };
        assert_eq!(given, wanted, "unit of {name}");
        assert!(readme.contains(&format!("| `{name}` | {wanted} |")), "{name} in README.md");
    }
}
