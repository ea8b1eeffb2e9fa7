//! The daemon and a receiver of OTLP, or none.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use monitor_tests::{Workload, serial};
use opentelemetry_proto::tonic::{
    collector::{logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest},
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    metrics::v1::{Metric, metric::Data},
};
use prost::Message;

use super::program::{Daemon, Directory, clean, eventually, executable};

/// How long an orderly end may take.
const STOP: Duration = Duration::from_secs(2);

/// Paths and bodies of requests.
type Requests = Mutex<Vec<(String, Vec<u8>)>>;

/// A receiver that takes all. Its thread ends with the tests.
pub(super) struct Receiver {
    address: SocketAddr,
    requests: Arc<Requests>,
}

impl Receiver {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
        let address = listener.local_addr().expect("it is bound");
        let requests = Arc::<Requests>::default();
        let taken = requests.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = taken.clone();
                thread::spawn(move || converse(&stream, &taken));
            }
        });
        Self { address, requests }
    }

    /// A daemon that sends here each second.
    pub(super) fn daemon(&self, args: &[&str]) -> Daemon {
        let daemon = Daemon::launch(self.program(), args.iter().copied());
        daemon.wait_ready();
        daemon
    }

    /// Its program.
    pub(super) fn program(&self) -> Command {
        let mut program = clean(executable());
        program
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{}", self.address))
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
            .env("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
            .env("OTEL_METRIC_EXPORT_INTERVAL", "1000")
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
        program
    }

    /// The requests to a path so far.
    pub(super) fn bodies(&self, path: &str) -> Vec<Vec<u8>> {
        let requests = self.requests.lock().expect("nobody panics with it");
        let matching = requests.iter().filter(|(to, _)| to == path);
        matching.map(|(_, body)| body.clone()).collect()
    }

    /// All log records so far, with their attributes.
    pub(super) fn records(&self) -> Vec<(LogRecord, BTreeMap<String, String>)> {
        let bodies = self.bodies("/v1/logs");
        let requests = bodies.iter().map(|body| {
            ExportLogsServiceRequest::decode(body.as_slice()).expect("it is a message")
        });
        let records = requests
            .flat_map(|request| request.resource_logs)
            .flat_map(|of_resource| of_resource.scope_logs)
            .flat_map(|of_scope| of_scope.log_records);
        records.map(|record| (record.clone(), texts(&record.attributes))).collect()
    }

    /// The event of a process.
    fn event(&self, name: &str, pid: u32) -> BTreeMap<String, String> {
        let pid = pid.to_string();
        let find = || {
            let mut records = self.records().into_iter();
            let is_it = |(record, attributes): &(LogRecord, BTreeMap<_, _>)| {
                record.event_name == name && attributes.get("process.pid") == Some(&pid)
            };
            records.find(is_it).map(|(_, attributes)| attributes)
        };
        eventually(find).unwrap_or_else(|| panic!("no {name} of {pid}"))
    }

    /// The metrics of the latest request, by name, and what they belong to.
    fn metrics(&self) -> Option<(BTreeMap<String, Metric>, BTreeMap<String, String>)> {
        let body = self.bodies("/v1/metrics").pop()?;
        let request = ExportMetricsServiceRequest::decode(body.as_slice()).expect("a message");
        let of_resource = request.resource_metrics.into_iter().next()?;
        let resource = texts(&of_resource.resource?.attributes);
        let metrics = of_resource.scope_metrics.into_iter().flat_map(|of_scope| of_scope.metrics);
        Some((metrics.map(|metric| (metric.name.clone(), metric)).collect(), resource))
    }
}

/// Reads requests and takes them.
fn converse(stream: &TcpStream, taken: &Requests) {
    let mut reader = BufReader::new(stream);
    loop {
        let head: Vec<_> =
            reader.by_ref().lines().map_while(Result::ok).take_while(|it| !it.is_empty()).collect();
        let Some(path) = head.first().and_then(|line| line.split(' ').nth(1)) else { return };
        let mut lengths = head.iter().filter_map(|line| line.strip_prefix("content-length: "));
        let length = lengths.next_back().and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        taken.lock().expect("nobody panics with it").push((path.to_owned(), body));
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\n\
                      content-length: 0\r\n\r\n";
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

pub(super) fn texts(pairs: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::ArrayValue(list) => {
            let values = list.values.iter().filter_map(|value| value.value.as_ref());
            let words = values.map(|value| match value {
                Value::StringValue(text) => text.as_str(),
                _ => "",
            });
            words.collect::<Vec<_>>().join(" ")
        }
        other => format!("{other:?}"),
    };
    let value = |pair: &KeyValue| pair.value.as_ref()?.value.as_ref().map(text);
    pairs.iter().filter_map(|pair| Some((pair.key.clone(), value(pair)?))).collect()
}

#[test]
fn what_is_measured_and_what_happens_arrives() {
    let _serial = serial();
    let receiver = Receiver::start();
    let mut daemon = receiver.daemon(&["--interval", "100ms"]);
    let workload = Workload::start("mt-sent", ["nothing", "--password", "hunter2"]);
    let pid = workload.pid();
    workload.end();
    // The log's level hides these, and they are sent all the same.
    let exec = receiver.event("process.exec", pid);
    assert!(exec["process.command_args"].ends_with("nothing --password ***"), "{exec:?}");
    let exit = receiver.event("process.exit", pid);
    assert_eq!(
        (exit["process.executable.name"].as_str(), exit["process.exit.code"].as_str()),
        ("mt-sent", "0")
    );
    assert!(!daemon.log().contains("process.exec"), "{}", daemon.log());
    let forks = receiver.records().iter().filter(|it| it.0.event_name == "process.fork").count();
    assert_eq!(forks, 0, "nobody asked for forks");
    // What the daemon says itself, from its start.
    let serving = receiver.records().into_iter().find(|(record, _)| {
        record.event_name.is_empty() && format!("{:?}", record.body).contains("sending metrics to")
    });
    assert_eq!(serving.map(|(record, _)| record.severity_text).as_deref(), Some("INFO"));

    // Waits for a CPU, as many as are wanted below.
    let sleeper = Workload::start("mt-sleeper", ["sleep", "-", "200", "1000"]);
    sleeper.done();
    daemon.wait_ticks(1);
    let since = receiver.bodies("/v1/metrics").len();
    let (metrics, resource) = eventually(|| {
        receiver.metrics().filter(|(metrics, _)| {
            // The first of them may have been made before that tick.
            receiver.bodies("/v1/metrics").len() > since + 1
                && metrics.contains_key("monitor.agent.export.items")
        })
    })
    .expect("metrics come");
    sleeper.end();
    assert_eq!(resource["service.name"], "monitor");
    assert_eq!(resource["service.instance.id"], resource["host.id"]);
    assert_eq!(resource["deployment.environment.name"], "test");
    assert_eq!(resource["os.type"], "linux");
    let Some(Data::Sum(cpu)) = &metrics["system.cpu.time"].data else { panic!("it is a sum") };
    let uptime = std::fs::read_to_string("/proc/uptime").expect("the kernel has it");
    let uptime: f64 = uptime.split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs_f64();
    let start = cpu.data_points[0].start_time_unix_nano as f64 / 1e9;
    assert!((start - (now - uptime)).abs() < 2.0, "counts since {start}, up for {uptime} of {now}");
    let Some(Data::ExponentialHistogram(waits)) = &metrics["monitor.sched.runqueue.latency"].data
    else {
        panic!("it is a histogram")
    };
    let point = &waits.data_points[0];
    let counts = point.positive.iter().flat_map(|buckets| &buckets.bucket_counts);
    assert_eq!(counts.sum::<u64>() + point.zero_count, point.count);
    assert!(point.count > 100 && point.scale == 3, "{point:?}");

    let health = daemon.get("/health").json();
    assert_eq!(health["exports"][0]["signal"], "metrics");
    for export in health["exports"].as_array().expect("there are two") {
        assert_eq!(
            (&export["state"], &export["dropped"]),
            (&"active".into(), &0.into()),
            "{health}"
        );
    }
    // A tick after an export, and before the next is due.
    let sent = receiver.bodies("/v1/metrics").len();
    eventually(|| (receiver.bodies("/v1/metrics").len() > sent).then_some(())).expect("they come");
    daemon.wait_ticks(1);
    let before = receiver.bodies("/v1/metrics").len();
    let (took, status) = daemon.signal(libc::SIGTERM).expect("it ends");
    assert!(status.success() && took < STOP, "{status} after {took:?}");
    assert!(receiver.bodies("/v1/metrics").len() > before, "the last view was not sent");
    let said =
        receiver.records().into_iter().any(|(it, _)| format!("{:?}", it.body).contains("stopped"));
    assert!(said, "the last words were not sent");
}

#[test]
fn a_receiver_that_never_answers_holds_nothing_up() {
    let _serial = serial();
    // Connections are made, by the kernel, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").expect("there are free ports");
    let endpoint = format!("http://{}", silent.local_addr().expect("it is bound"));
    for protocol in ["grpc", "http/protobuf"] {
        let mut program = clean(executable());
        program.env("OTEL_EXPORTER_OTLP_TIMEOUT", "500");
        let args = ["--interval", "200ms", "--otlp-endpoint", &endpoint];
        let mut daemon =
            Daemon::launch(program, args.into_iter().chain(["--otlp-protocol", protocol]));
        daemon.wait_ready();
        let health = daemon.wait("a failed export", || {
            let health = daemon.get("/health").json();
            (health["exports"][0]["state"] == "failing").then_some(health)
        });
        assert_eq!(health["status"], "degraded");
        let (begin, tick) = (Instant::now(), || daemon.get("/health").json()["tick"].as_u64());
        let first = tick().expect("ticks are numbered");
        thread::sleep(Duration::from_secs(4));
        let ticks = tick().expect("ticks are numbered") - first;
        let due = begin.elapsed().as_secs_f64() / 0.2;
        assert!(ticks as f64 > due - 4.0, "{ticks} ticks, {due} were due");
        assert_eq!(daemon.log().matches("metrics not sent to").count(), 1, "{}", daemon.log());
        let (took, status) = daemon.signal(libc::SIGTERM).expect("it ends");
        assert!(status.success() && took < STOP, "{status} after {took:?}");
    }
}

/// A fleet sets such variables for all programs of a host.
#[test]
fn standard_variables_that_cannot_be_used_cost_the_export_alone() {
    let _serial = serial();
    let receiver = Receiver::start();
    for (name, value) in [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "unix:///run/otel.sock"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/nonexistent"),
    ] {
        // Where nothing is sent, nothing depends on them.
        let is_endpoint = name.ends_with("ENDPOINT");
        let mut alone = clean(executable());
        alone.env(name, value);
        let daemon = Daemon::launch(alone, ["--interval", "200ms"]);
        daemon.wait_ready();
        let exports = daemon.get("/health").json()["exports"].clone();
        assert_eq!(exports.as_array().map(Vec::is_empty), Some(!is_endpoint), "{name}: {exports}");
        drop(daemon);

        let mut program = receiver.program();
        program.env(name, value);
        let daemon = Daemon::launch(program, ["--interval", "200ms"]);
        daemon.wait_ready();
        let health = daemon.get("/health").json();
        assert_eq!(health["status"], "degraded", "{health}");
        for export in health["exports"].as_array().expect("there are two") {
            let problem = export["problems"][0].as_str().expect("it is text");
            assert!(export["state"] == "failing" && problem.contains(name), "{health}");
        }
        assert!(daemon.log().contains(&format!("metrics are not exported: {name}")));
        assert!(daemon.get("/metrics").text().contains("monitor_sched_runqueue_latency"));
    }
}

#[test]
fn a_standard_variable_that_names_no_file_costs_the_export_alone() {
    let _serial = serial();
    let mut program = clean(executable());
    program.env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:1");
    program.env("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent");
    let daemon = Daemon::launch(program, ["--interval", "200ms"]);
    daemon.wait_ready();
    let health = daemon.get("/health").json();
    let problem = health["exports"][0]["problems"][0].as_str().expect("it is text");
    assert!(problem.contains("OTEL_EXPORTER_OTLP_CERTIFICATE"), "{health}");
}

/// As by cloud-init, which may run after the daemon has started.
#[test]
fn a_host_that_is_renamed_is_exported_by_its_new_name() {
    let _serial = serial();
    let receiver = Receiver::start();
    let root = Directory::new();
    let rename = |name: &str| {
        let folder = root.path("etc");
        std::fs::create_dir_all(&folder).expect("the directory is ours");
        std::fs::write(folder.join("hostname"), name).expect("the directory is ours");
    };
    rename("localhost");
    let path = root.path("");
    let daemon = receiver.daemon(&["--host-root", path.to_str().expect("plain letters")]);
    let is_called = |name: &str| {
        eventually(|| receiver.metrics().filter(|(_, resource)| resource["host.name"] == name))
            .unwrap_or_else(|| panic!("nothing is sent by {name}"));
        let text = daemon.get("/metrics").text().to_owned();
        assert!(text.contains(&format!("host_name=\"{name}\"")), "{text}");
    };
    is_called("localhost");
    rename("web-1");
    daemon.reload("");
    is_called("web-1");
}

/// Its clocks are 30 hours ahead of the kernel's.
#[test]
fn times_are_the_hosts_in_a_time_namespace() {
    let _serial = serial();
    let receiver = Receiver::start();
    let plain = receiver.program();
    let mut program = Command::new("unshare");
    program.args(["--time", "--monotonic", "108000", "--boottime", "108000"]);
    program.arg(plain.get_program());
    program.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let daemon = Daemon::launch(program, ["--interval", "200ms"]);
    daemon.wait_ready();
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs_f64();
    let begin = now();
    let workload = Workload::start("mt-timed", ["nothing"]);
    let pid = workload.pid();
    workload.end();
    receiver.event("process.exec", pid);
    let (record, _) = receiver
        .records()
        .into_iter()
        .find(|(record, attributes)| {
            record.event_name == "process.exec" && attributes["process.pid"] == pid.to_string()
        })
        .expect("it came");
    let time = record.time_unix_nano as f64 / 1e9;
    assert!((begin - 1.0..now() + 1.0).contains(&time), "{time} at {begin}");

    let uptime = std::fs::read_to_string("/proc/uptime").expect("the kernel has it");
    let uptime: f64 = uptime.split(' ').next().and_then(|it| it.parse().ok()).expect("a number");
    let (metrics, _) = eventually(|| receiver.metrics()).expect("metrics come");
    let Some(Data::Sum(cpu)) = &metrics["system.cpu.time"].data else { panic!("it is a sum") };
    let start = cpu.data_points[0].start_time_unix_nano as f64 / 1e9;
    assert!((start - (now() - uptime)).abs() < 2.0, "counts since {start}, up for {uptime}");
    let text = daemon.get("/metrics").text().to_owned();
    let told = text
        .lines()
        .find_map(|line| line.strip_prefix("system_uptime_seconds "))
        .expect("it is there");
    let told: f64 = told.parse().expect("a number");
    assert!((told - uptime).abs() < 10.0, "{told} of {uptime}");
}

#[test]
fn a_reload_turns_sending_on_and_off() {
    let _serial = serial();
    let receiver = Receiver::start();
    let daemon = Daemon::start([]);
    let config = |more: &str| {
        let endpoint = format!("http://{}", receiver.address);
        format!(
            "[otlp]\nendpoint = \"{endpoint}\"\nprotocol = \"http/protobuf\"\n\
             compression = \"none\"\ninterval = \"1s\"\n{more}"
        )
    };
    let log = daemon.reload(&config(""));
    assert!(log.contains("otlp.endpoint"), "{log}");
    eventually(|| receiver.metrics()).expect("metrics come");
    daemon.reload(&config("metrics = false\n"));
    let logs = receiver.bodies("/v1/logs").len();
    Workload::start("mt-nothing", ["nothing"]).end();
    eventually(|| (receiver.bodies("/v1/logs").len() > logs).then_some(())).expect("logs come");
    // One may have been under way; then none is sent where two are due.
    let sent = receiver.bodies("/v1/metrics").len();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(receiver.bodies("/v1/metrics").len(), sent, "metrics are sent that are off");
    // A file that is not there changes nothing.
    let log = daemon.reload(&config("tls.ca = \"/nonexistent\"\n").replace("http://", "https://"));
    assert!(log.contains("not reloaded") && log.contains("otlp.tls.ca"), "{log}");
    daemon.reload("");
    assert_eq!(daemon.get("/health").json()["exports"], serde_json::json!([]));
}
