//! What the tests send, where to, and what is logged of it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use monitor::{
    attribution::Group,
    config::{Compression, OtlpTlsConfig, Protocol, Signal, Target, Temporality},
    event::{Ending, Event, What},
    export::otlp::{Account, Deltas, Otlp, Records, Route},
    metric::{
        AGENT_TICK_DURATION, Kind, MetricDesc, PROCESS_CPU_TIME, PROCESS_RUNQUEUE_LATENCY,
        SCHED_RUNQUEUE_LATENCY,
    },
    resource::resource,
    sample::{Attributes, Process},
    view::{Histogram, Point, Series, View},
};
use monitor_common::hist;
use opentelemetry::KeyValue;
use tokio::{sync::watch, time::Instant};
use tracing_subscriber::fmt::MakeWriter;

/// When the series of the tests began.
pub(crate) const START: Duration = Duration::new(1_700_000_000, 5);

/// Both protocols.
pub(crate) const PROTOCOLS: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

/// A daemon's exporter, with what it takes to run.
pub(crate) struct Exporter {
    pub(crate) otlp: Otlp,
    pub(crate) records: Arc<Records>,
    pub(crate) views: watch::Sender<Arc<View>>,
    deltas: Arc<Deltas>,
}

impl Exporter {
    /// Sends a view and records to a target.
    pub(crate) fn start(view: View, signals: &[Signal], target: &Target) -> Self {
        let views = watch::Sender::new(Arc::new(view));
        let records = Records::new();
        // All that is counted is new.
        let deltas = Arc::new(Deltas::new(SystemTime::UNIX_EPOCH));
        let otlp = Self::send(&views, &records, &deltas, &routes(signals, target));
        Self { otlp, records, views, deltas }
    }

    /// Sends others instead, or elsewhere, as after a reload.
    pub(crate) async fn change(&mut self, signals: &[Signal], target: &Target) {
        let routes = routes(signals, target);
        self.otlp.hand_over(&routes, Instant::now() + Duration::from_millis(500)).await;
        self.otlp = Self::send(&self.views, &self.records, &self.deltas, &routes);
    }

    fn send(
        views: &watch::Sender<Arc<View>>,
        records: &Arc<Records>,
        deltas: &Arc<Deltas>,
        routes: &[Route],
    ) -> Otlp {
        let host = vec![KeyValue::new("host.id", "the-host")];
        let resources = watch::channel(Some(resource(host))).1;
        Otlp::start(routes, &resources, &views.subscribe(), records, deltas)
    }

    /// Publishes a view.
    pub(crate) fn publish(&self, view: View) {
        self.views.send_replace(Arc::new(view));
    }

    /// The counts of a signal.
    pub(crate) fn account(&self, signal: Signal) -> Account {
        self.records.ledger().accounts().remove(&signal).unwrap_or_default()
    }

    /// What was lost of a signal, by the reason.
    pub(crate) fn lost(&self, signal: Signal) -> BTreeMap<String, u64> {
        let mut dropped = self.account(signal).dropped;
        dropped.retain(|_, count| *count > 0);
        dropped
    }

    /// Sends records of so many events.
    pub(crate) fn push_events(&self, count: u32) {
        for pid in 0..count {
            self.records.push_event(&exit(pid), &group());
        }
    }

    /// Stops as the daemon does.
    pub(crate) async fn stop(&mut self) {
        self.otlp.stop(Instant::now() + Duration::from_secs(2)).await;
    }
}

/// The ways of signals to a target.
fn routes(signals: &[Signal], target: &Target) -> Vec<Route> {
    let route = |signal: &Signal| {
        let endpoint = match target.protocol {
            Protocol::Grpc => target.endpoint.clone(),
            Protocol::HttpProtobuf => {
                format!("{}v1/{}", target.endpoint, signal.name()).parse().unwrap()
            }
        };
        Route::new(*signal, Target { endpoint, ..target.clone() }).unwrap()
    };
    signals.iter().map(route).collect()
}

/// Sends at once, and then each 100 ms.
pub(crate) fn target(endpoint: &str, protocol: Protocol) -> Target {
    Target {
        endpoint: endpoint.parse().unwrap(),
        protocol,
        headers: Vec::new(),
        compression: Compression::None,
        timeout: Duration::from_secs(5),
        interval: Duration::from_millis(100),
        temporality: Temporality::Cumulative,
        tls: OtlpTlsConfig::default(),
    }
}

/// A view of a tick.
pub(crate) fn view(tick: u64, series: Vec<Series>) -> View {
    View { tick, series, ..View::empty(Duration::from_secs(1)) }
}

/// A view with a series of each kind; the counter stands at the tick.
pub(crate) fn of_each_kind(tick: u64) -> View {
    let web = [("process.executable.name", "web"), ("systemd.unit", "web.service")];
    let durations = [0, 0, 1_000, 1_000_000, 1_000_001, 2_000_000_000];
    let series = vec![
        series(&PROCESS_CPU_TIME, &web, Point::Number(tick as f64)),
        series(&PROCESS_CPU_TIME, &[], Point::Number(0.5)),
        series(&PROCESS_RUNQUEUE_LATENCY, &web, histogram(&durations, hist::COARSE_SHIFT)),
        series(&SCHED_RUNQUEUE_LATENCY, &[], histogram(&durations, 0)),
        series(&AGENT_TICK_DURATION, &[], Point::Number(0.25)),
    ];
    view(tick, series)
}

/// A view of so many series.
pub(crate) fn of_many(count: u32) -> View {
    let many = (0..count).map(|i| {
        let name = format!("a-process-with-a-name-{i}");
        let attributes = [("process.executable.name", name.as_str())];
        series(&PROCESS_RUNQUEUE_LATENCY, &attributes, histogram(&[1_000, 1_000_000_000], 2))
    });
    view(1, many.collect())
}

pub(crate) fn series(
    metric: &'static MetricDesc,
    attributes: &[(&'static str, &str)],
    value: Point,
) -> Series {
    assert_eq!(metric.kind == Kind::Histogram, matches!(value, Point::Histogram(_)));
    let attributes = Attributes::new(attributes.iter().copied());
    Series { metric, attributes, start: SystemTime::UNIX_EPOCH + START, value, is_evicted: false }
}

pub(crate) fn histogram(durations: &[u64], shift: u32) -> Point {
    let mut slots = vec![0; (hist::FINE_SLOTS >> shift) + 1];
    for ns in durations {
        slots[hist::slot(*ns) >> shift] += 1;
    }
    let sum_ns = durations.iter().map(|ns| u128::from(*ns)).sum();
    Point::Histogram(Histogram { sum_ns, slots, ..Histogram::empty(shift) })
}

/// The end of a process.
pub(crate) fn exit(pid: u32) -> Event {
    let mut comm = [0; 16];
    comm[..3].copy_from_slice(b"web");
    Event {
        time: SystemTime::UNIX_EPOCH + START,
        process: Process { pid, comm, cgroup_id: 7, kernel_thread: false },
        parent: Some(1),
        what: What::Exit {
            ending: Ending::Code(3),
            lifetime: Duration::from_millis(1500),
            peak_rss_bytes: 4096,
        },
    }
}

/// A container's processes.
pub(crate) fn group() -> Group {
    Group {
        executable: "web".to_owned(),
        container_id: Some("c0ffee".to_owned()),
        ..Group::default()
    }
}

/// What is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Begins to listen; ends with the guard.
    pub(crate) fn listen() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(log.clone())
            .with_ansi(false)
            .with_max_level(tracing::Level::INFO)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines with a text in them.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let all = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        all.lines().filter(|line| line.contains(text)).map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
