//! All parts together, against the conventions and against what the host's own programs say.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use super::scratch::Scratch;
use super::*;
use crate::metric::{self, Kind};

/// Values of one collection, by metric and attributes.
pub(super) type Values = BTreeMap<(&'static str, String), f64>;

/// Attributes as `name=value,...`.
pub(super) fn label(attributes: &Attributes) -> String {
    attributes.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

/// What `emit` tells; each series once.
fn values(emit: impl FnOnce(&mut dyn FnMut(Sample<'_>))) -> Values {
    let mut values = Values::new();
    emit(&mut |sample| {
        let value = match sample.value {
            Value::SinceBoot(value) => {
                assert_eq!(sample.metric.kind, Kind::Counter, "{}", sample.metric.name);
                value
            }
            Value::Gauge(value) => {
                assert_ne!(sample.metric.kind, Kind::Counter, "{}", sample.metric.name);
                value
            }
            other => panic!("{other:?} of the host"),
        };
        assert!(value.is_finite() && value >= 0.0, "{} is {value}", sample.metric.name);
        assert_eq!(sample.owner, Owner::Host);
        let key = (sample.metric.name, label(sample.attributes));
        assert_eq!(values.insert(key.clone(), value), None, "{key:?} twice");
    });
    values
}

/// What a part tells.
pub(super) fn told(part: &dyn Part) -> Values {
    values(|sink| part.emit(&mut Emit { sink }))
}

/// What a part tells after reading.
pub(super) fn read(part: &mut dyn Part) -> Values {
    part.refresh().unwrap();
    told(part)
}

/// The value of one series.
pub(super) fn value(values: &Values, metric: &'static MetricDesc, attributes: &str) -> f64 {
    let key = (metric.name, attributes.to_owned());
    *values.get(&key).unwrap_or_else(|| panic!("no {key:?} in {values:#?}"))
}

/// Paths of a host whose files are all in `scratch`.
pub(super) fn elsewhere(scratch: &Scratch) -> HostPaths {
    HostPaths { proc: scratch.path("proc"), sys: scratch.path("sys"), root: scratch.path("root") }
}

/// The standard output of a program.
pub(super) fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn collect(host: &mut Host) -> Values {
    values(|sink| host.collect(sink))
}

#[test]
fn every_series_is_in_the_catalogue_with_its_attributes() {
    let mut host = Host::new(&HostPaths::default()).unwrap();
    let mut seen = BTreeSet::new();
    host.collect(&mut |sample| {
        assert!(metric::catalogue().any(|it| std::ptr::eq(it, sample.metric)));
        for (name, value) in sample.attributes.iter() {
            assert!(sample.metric.attributes.contains(&name), "{name} of {}", sample.metric.name);
            assert!(!value.is_empty(), "{name} of {}", sample.metric.name);
        }
        seen.insert(sample.metric.name);
    });
    // What hardware and build of the kernel decide may be absent, but not without a reason.
    let reasons: Vec<_> = host.problems().map(|problem| problem.part).collect();
    let absent_without = |part: &'static str| reasons.contains(&part);
    for metric in metric::catalogue().filter(|metric| metric.source.contains('/')) {
        let optional = match metric.name {
            "hw.temperature" | "hw.temperature.limit" => absent_without("temperatures"),
            "monitor.host.pressure.time" => absent_without("pressure.cpu"),
            "system.cpu.utilization" => true,
            "system.paging.utilization" => true,
            name => !name.starts_with("system.") && !name.starts_with("monitor.host."),
        };
        assert!(optional || seen.contains(metric.name), "{} is absent", metric.name);
    }
}

#[test]
fn names_units_and_kinds_are_those_of_the_conventions() {
    let conventions = include_str!("../../../tests/fixtures/semconv-1.44.tsv");
    let conventions: BTreeMap<_, _> = conventions
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let [name, kind, unit, attributes] = line.split('\t').collect::<Vec<_>>()[..] else {
                panic!("{line:?} does not have four columns");
            };
            (name, (kind, unit, attributes))
        })
        .collect();
    for metric in metric::catalogue().filter(|metric| !metric.name.starts_with("monitor.")) {
        let (kind, unit, attributes) = conventions
            .get(metric.name)
            .unwrap_or_else(|| panic!("{} is not of the conventions", metric.name));
        assert_eq!(format!("{:?}", metric.kind).to_lowercase(), *kind, "{}", metric.name);
        assert_eq!(metric.unit, *unit, "{}", metric.name);
        for attribute in metric.attributes {
            let allowed = attributes.split(',').any(|allowed| allowed == *attribute);
            assert!(allowed, "{attribute} of {}", metric.name);
        }
    }
}

#[test]
fn a_second_collection_adds_only_what_needs_two() {
    let mut host = Host::new(&HostPaths::default()).unwrap();
    let keys = |values: Values| values.into_keys().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let first = keys(collect(&mut host));
    std::thread::sleep(Duration::from_millis(50));
    let mut second = keys(collect(&mut host));
    assert!(second.remove("system.cpu.utilization"));
    assert_eq!(first, second, "parts with a longer interval tell what they know in between");
}

#[test]
fn an_empty_host_has_only_problems() {
    let scratch = Scratch::new("host-empty");
    let mut host = Host::new(&elsewhere(&scratch)).unwrap();
    let present: BTreeSet<_> = collect(&mut host).into_keys().map(|(name, _)| name).collect();
    // sysinfo reads our own /proc and /sys whatever the paths.
    let own = ["monitor.host.load", "hw.temperature"];
    let strays: Vec<_> =
        present.iter().filter(|name| !own.iter().any(|own| name.starts_with(own))).collect();
    assert!(strays.is_empty(), "{strays:?}");
    let problems: BTreeMap<_, _> =
        host.problems().map(|problem| (problem.part, problem.reason.to_string())).collect();
    for part in ["cpu", "disks", "filesystems", "memory", "networks", "paging", "processes"] {
        let reason = &problems[part];
        assert!(reason.contains(scratch.path("").to_str().unwrap()), "{part}: {reason}");
        assert!(!reason.ends_with('.'), "{reason}");
    }
    assert!(problems["pressure.io"].contains("--host-proc"), "{problems:#?}");
    // Sensors are looked for in our own /sys.
    let mut absent = host.problems().filter(Problem::is_absence).map(|problem| problem.part);
    assert!(absent.all(|part| part == "temperatures"));
}

#[test]
fn a_part_that_can_be_read_again_is_measured_again() {
    let scratch = Scratch::new("host-again");
    let mut host = Host::new(&elsewhere(&scratch)).unwrap();
    collect(&mut host);
    assert!(host.problems().any(|problem| problem.part == "uptime"));
    scratch.write("proc/uptime", "12.34 56.78\n");
    let values = collect(&mut host);
    assert_eq!(value(&values, &metric::SYSTEM_UPTIME, ""), 12.34);
    assert!(!host.problems().any(|problem| problem.part == "uptime"));
}

#[test]
fn load_and_uptime_are_those_of_the_host() {
    let field = |file: &str, index| {
        let text = std::fs::read_to_string(file).unwrap();
        text.split(' ').nth(index).unwrap().parse::<f64>().unwrap()
    };
    let mut host = Host::new(&HostPaths::default()).unwrap();
    let before = field("/proc/uptime", 0);
    let values = collect(&mut host);
    let after = field("/proc/uptime", 0);
    assert!((before..=after).contains(&value(&values, &metric::SYSTEM_UPTIME, "")));
    // They are computed anew every 5 s, perhaps right in between.
    let load = value(&values, &metric::HOST_LOAD_15M, "");
    assert!((load - field("/proc/loadavg", 2)).abs() < 0.2);
}

#[test]
fn page_faults_do_not_go_down_while_a_cpu_goes_offline() {
    let scratch = Scratch::new("host-paging");
    let mut paging = paging::Paging::new(&elsewhere(&scratch));
    let mut minor_and_major = |faults, major| {
        let rest = "pswpin 0\npswpout 0\n";
        scratch.write("proc/vmstat", &format!("pgfault {faults}\npgmajfault {major}\n{rest}"));
        let values = read(&mut paging);
        let fault = |kind| format!("system.paging.fault.type={kind}");
        ["minor", "major"].map(|it| value(&values, &metric::SYSTEM_PAGING_FAULTS, &fault(it)))
    };
    assert_eq!(minor_and_major(1000, 10), [990.0, 10.0]);
    // What the CPU counted is added to those of another after it is offline.
    assert_eq!(minor_and_major(700, 8), [990.0, 10.0]);
    assert_eq!(minor_and_major(1002, 11), [991.0, 11.0]);
    // Major ones that came while the file was written.
    assert_eq!(minor_and_major(1002, 13), [991.0, 13.0]);
}
