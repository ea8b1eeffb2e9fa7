//! A receiver that does all at random that receivers do: what is sent arrives at least once, and what arrives twice was
//! counted as sent again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use monitor::{
    config::{Protocol, Signal, Target, Temporality},
    metric::PROCESS_CPU_TIME,
    view::Point,
};
use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::ExportLogsServiceRequest,
        metrics::v1::{
            ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        },
    },
    common::v1::any_value::Value,
    metrics::v1::{AggregationTemporality, metric::Data, number_data_point},
};
use prost::Message;
use tokio::{net::TcpListener, time};

use crate::setup::{Exporter, exit, group, series, target, view};

/// How long a request may take.
const TIMEOUT: Duration = Duration::from_millis(300);

/// How long the rest may take to arrive: the longest backoff twice.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Taken,
    TakenWithJson,
    TakenWithText,
    TakenWithoutContent,
    /// The first record is not taken.
    Partial,
    Redirected,
    /// With a status that changes the method.
    RedirectedElsewhere,
    ClosedBefore,
    ClosedAfter,
    TooMany,
    Unavailable,
    TooLarge,
    /// The body is read slowly.
    SlowRead,
    /// Taken, and the response comes too late.
    Late,
}

use Action::*;

impl Action {
    const ALL: [Self; 14] = [
        Taken,
        Late,
        TakenWithJson,
        ClosedBefore,
        Partial,
        TooMany,
        TakenWithText,
        ClosedAfter,
        TakenWithoutContent,
        Unavailable,
        Redirected,
        RedirectedElsewhere,
        SlowRead,
        TooLarge,
    ];
}

/// What arrived, and how often.
#[derive(Default)]
struct Arrived {
    /// By process id.
    events: BTreeMap<i64, u64>,
    /// Those that were refused for good.
    refused: BTreeSet<i64>,
    /// By start and time.
    points: BTreeMap<(u64, u64), (f64, u64)>,
    /// Requests with an action, of logs and of metrics. The actions come in turn, or at random from a seed.
    actions: [u64; 2],
    seed: Option<u64>,
}

impl Arrived {
    fn action(&mut self, is_metrics: bool) -> Action {
        let actions = &mut self.actions[usize::from(is_metrics)];
        let choice = match &mut self.seed {
            None => *actions,
            Some(seed) => {
                // xorshift64
                *seed ^= *seed << 13;
                *seed ^= *seed >> 7;
                *seed ^= *seed << 17;
                *seed
            }
        };
        *actions += 1;
        Action::ALL[(choice % Action::ALL.len() as u64) as usize]
    }

    /// Notes the records of a request, of which the first so many are refused for good. Returns how many that are.
    fn take_logs(&mut self, body: &[u8], refused: usize) -> usize {
        let request = ExportLogsServiceRequest::decode(body).expect("logs");
        let records = request.resource_logs.into_iter().flat_map(|it| it.scope_logs);
        let records: Vec<_> = records.flat_map(|it| it.log_records).collect();
        for (place, record) in records.iter().enumerate() {
            let pid = record.attributes.iter().find(|it| it.key == "process.pid");
            let pid = pid.and_then(|it| it.value.as_ref()?.value.as_ref());
            let Some(Value::IntValue(pid)) = pid else { panic!("no process in {record:?}") };
            if place < refused {
                assert!(self.refused.insert(*pid), "{pid} is sent again");
            } else {
                *self.events.entry(*pid).or_default() += 1;
            }
        }
        refused.min(records.len())
    }

    fn take_metrics(&mut self, body: &[u8]) {
        let request = ExportMetricsServiceRequest::decode(body).expect("metrics");
        let metrics = request.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
        for metric in metrics.flat_map(|it| it.metrics) {
            let Some(Data::Sum(sum)) = metric.data else { panic!("no sum in {metric:?}") };
            assert_eq!(sum.aggregation_temporality(), AggregationTemporality::Delta);
            for point in sum.data_points {
                let Some(number_data_point::Value::AsDouble(value)) = point.value else {
                    panic!("no number in {point:?}")
                };
                let key = (point.start_time_unix_nano, point.time_unix_nano);
                let (known, times) = self.points.entry(key).or_insert((value, 0));
                assert_eq!(*known, value, "what is sent again does not change");
                *times += 1;
            }
        }
    }

    /// Events that arrived or were refused for good.
    fn settled(&self) -> u64 {
        let arrived = self.events.keys().filter(|pid| !self.refused.contains(pid)).count();
        (arrived + self.refused.len()) as u64
    }

    fn repeated_events(&self) -> u64 {
        self.events.values().map(|times| times - 1).sum()
    }

    fn repeated_points(&self) -> u64 {
        self.points.values().map(|(_, times)| times - 1).sum()
    }

    fn total(&self) -> f64 {
        self.points.values().map(|(value, _)| value).sum()
    }
}

#[derive(Clone, Default)]
struct Hostile {
    arrived: Arc<Mutex<Arrived>>,
    is_calm: Arc<AtomicBool>,
}

impl Hostile {
    async fn serve(self, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let hostile = self.clone();
            tokio::spawn(async move {
                let service = service_fn(|request| hostile.clone().respond(request));
                let server = auto::Builder::new(TokioExecutor::new());
                // It ends with an error wherever a connection is closed on purpose.
                let _ = server.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn respond(self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let is_metrics = request.uri().path().ends_with("/v1/metrics");
        let is_redirected = request.uri().path().starts_with("/again");
        let closed = || io::Error::other("closed without a response");
        let response = |status: StatusCode| Response::builder().status(status);
        let plain = |status| Ok(response(status).body(Full::default()).unwrap());
        let action = match self.is_calm.load(Relaxed) || is_redirected {
            true => Taken,
            false => self.arrived.lock().unwrap().action(is_metrics),
        };
        let path = request.uri().path().to_owned();
        let to = |status| {
            let response = response(status).header("location", format!("/again{path}"));
            Ok(response.body(Full::default()).unwrap())
        };
        match action {
            ClosedBefore => return Err(closed()),
            TooMany => return plain(StatusCode::TOO_MANY_REQUESTS),
            Unavailable => return plain(StatusCode::SERVICE_UNAVAILABLE),
            Redirected => return to(StatusCode::TEMPORARY_REDIRECT),
            RedirectedElsewhere => return to(StatusCode::FOUND),
            SlowRead => time::sleep(TIMEOUT / 3).await,
            _ => {}
        }
        let body = request.into_body().collect().await.map_err(io::Error::other)?.to_bytes();
        let rejected = {
            let mut arrived = self.arrived.lock().unwrap();
            match is_metrics {
                true => {
                    arrived.take_metrics(&body);
                    0
                }
                // Of metrics, nothing may be lost.
                false => arrived.take_logs(
                    &body,
                    match action {
                        Partial => 1,
                        TooLarge => usize::MAX,
                        _ => 0,
                    },
                ),
            }
        };
        match action {
            TooLarge if !is_metrics => plain(StatusCode::PAYLOAD_TOO_LARGE),
            ClosedAfter => Err(closed()),
            TakenWithoutContent => plain(StatusCode::NO_CONTENT),
            TakenWithText => {
                let response = response(StatusCode::ACCEPTED).header("content-type", "text/plain");
                Ok(response.body(Full::from("ok")).unwrap())
            }
            TakenWithJson => {
                let response = response(StatusCode::OK).header("content-type", "application/json");
                Ok(response.body(Full::from("{\"partialSuccess\":{}}")).unwrap())
            }
            _ => {
                if action == Late {
                    time::sleep(2 * TIMEOUT).await;
                }
                let partial_success = ExportMetricsPartialSuccess {
                    rejected_data_points: rejected as i64,
                    error_message: "the first is not taken".to_owned(),
                };
                let partial_success = (rejected > 0).then_some(partial_success);
                let body = ExportMetricsServiceResponse { partial_success }.encode_to_vec();
                let response =
                    response(StatusCode::OK).header("content-type", "application/x-protobuf");
                Ok(response.body(Full::from(body)).unwrap())
            }
        }
    }
}

/// Sends growth and events to it until each action came so often, or for so long.
async fn run(seed: Option<u64>, is_enough: impl Fn(&Arrived, Duration) -> bool) {
    let hostile = Hostile::default();
    hostile.arrived.lock().unwrap().seed = seed;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(hostile.clone().serve(listener));
    let target = Target {
        timeout: TIMEOUT,
        temporality: Temporality::Delta,
        ..target(&endpoint, Protocol::HttpProtobuf)
    };
    let counter = |tick| {
        let web = [("process.executable.name", "web")];
        view(tick, vec![series(&PROCESS_CPU_TIME, &web, Point::Number(3.0 * tick as f64))])
    };
    let signals = [Signal::Metrics, Signal::Logs];
    let exporter = Exporter::start(counter(1), &signals, &target);
    let begin = Instant::now();
    let mut tick = 1;
    while !is_enough(&hostile.arrived.lock().unwrap(), begin.elapsed()) {
        tick += 1;
        exporter.publish(counter(tick));
        exporter.records.push_event(&exit(tick as u32), &group());
        time::sleep(Duration::from_millis(20)).await;
    }
    hostile.is_calm.store(true, Relaxed);
    let (events, total) = (tick - 1, 3.0 * tick as f64);
    let complete = async {
        loop {
            {
                let arrived = hostile.arrived.lock().unwrap();
                if arrived.settled() >= events && arrived.total() >= total {
                    break;
                }
            }
            time::sleep(Duration::from_millis(50)).await;
        }
    };
    let is_complete = time::timeout(PATIENCE, complete).await.is_ok();
    // What arrives twice arrives now, and what is known of it is counted.
    time::sleep(10 * TIMEOUT).await;
    let accounts = signals.map(|signal| exporter.account(signal));
    let arrived = hostile.arrived.lock().unwrap();
    println!(
        "{:?} requests: {events} events, {} arrived, {} of them again, {} refused; growth of {total}, {} arrived; {accounts:#?}",
        arrived.actions,
        arrived.events.len(),
        arrived.repeated_events(),
        arrived.refused.len(),
        arrived.total(),
    );
    assert!(is_complete);
    assert_eq!(arrived.settled(), events);
    let lost = exporter.lost(Signal::Logs).into_values().sum::<u64>();
    assert_eq!(lost, arrived.refused.len() as u64);
    assert_eq!(arrived.total(), total);
    assert!(exporter.lost(Signal::Metrics).is_empty());
    // Growth without gaps and without overlaps.
    let times: Vec<_> = arrived.points.keys().collect();
    assert!(times.windows(2).all(|pair| pair[0].1 == pair[1].0), "{times:?}");
    let [metrics, logs] = accounts;
    assert!(0 < arrived.repeated_points() && arrived.repeated_points() <= metrics.resent);
    assert!(0 < arrived.repeated_events() && arrived.repeated_events() <= logs.resent);
}

#[tokio::test]
async fn each_response_in_turn_costs_no_count() {
    run(None, |arrived, _| arrived.actions.iter().all(|it| *it >= Action::ALL.len() as u64)).await;
}

mod long {
    use super::*;

    #[tokio::test]
    async fn half_an_hour_of_random_responses_costs_no_count() {
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
        println!("seed {seed}");
        run(Some(seed), |_, elapsed| elapsed > Duration::from_secs(30 * 60)).await;
    }
}
