//! A receiver of metrics by gRPC that keeps nothing. It is a process of its own, so that what it takes
//! is not counted.

use std::{
    convert::Infallible,
    env,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    process::{self, Child, ChildStdout, Command, Stdio},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::{Body, Incoming},
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{Metric, metric::Data},
};
use prost::Message;
use tokio::{net::TcpListener, runtime};

/// What is before a message in gRPC: whether it is compressed, and its length.
const FRAME: usize = 5;

/// What came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// Bytes of messages, as they were sent.
    pub(crate) size: usize,
    /// Data points.
    pub(crate) points: usize,
    /// Durations in histograms.
    pub(crate) durations: u64,
    /// Buckets that are not empty.
    pub(crate) buckets: usize,
}

/// A running receiver; it ends with this process.
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    lines: BufReader<ChildStdout>,
    process: Child,
}

impl Sink {
    pub(crate) fn start() -> Result<Self> {
        let mut process = Command::new(env::current_exe()?)
            .arg("sink")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the sink")?;
        let mut lines = BufReader::new(process.stdout.take().context("it has no output")?);
        let mut line = String::new();
        lines.read_line(&mut line)?;
        Ok(Self { address: line.trim().parse().context("no address")?, lines, process })
    }

    /// Waits until this many data points have come.
    pub(crate) fn receive(&mut self, points: usize) -> Result<Received> {
        let mut all = Received::default();
        while all.points < points {
            let mut line = String::new();
            ensure!(self.lines.read_line(&mut line)? > 0, "the sink ended");
            let numbers: Vec<usize> =
                line.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            let [size, points, durations, buckets] = numbers[..] else {
                bail!("the sink says {line}");
            };
            all.size += size;
            all.points += points;
            all.durations += durations as u64;
            all.buckets += buckets;
        }
        Ok(all)
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

/// Is the receiver: says its address, then of each request what came, until its input ends.
pub(crate) fn run() -> Result<()> {
    thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            let server = auto::Builder::new(TokioExecutor::new());
            let connection = async move {
                server.serve_connection(TokioIo::new(stream), service_fn(take)).await
            };
            tokio::spawn(connection);
        }
    })
}

async fn take(
    request: Request<Incoming>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    let body = request.into_body().collect().await?.to_bytes();
    match read(&body) {
        Ok(Received { size, points, durations, buckets }) => {
            println!("{size} {points} {durations} {buckets}");
        }
        Err(error) => eprintln!("{error:#}"),
    }
    let well = HeaderMap::from_iter([(
        HeaderName::from_static("grpc-status"),
        HeaderValue::from_static("0"),
    )]);
    let answer = Full::new(Bytes::from_static(&[0; FRAME]));
    let mut response = Response::new(answer.with_trailers(async { Some(Ok(well)) }));
    let kind = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}

fn read(body: &Bytes) -> Result<Received> {
    let (frame, message) = body.split_at_checked(FRAME).context("no message")?;
    let mut plain = Vec::new();
    match frame[0] {
        0 => plain.extend_from_slice(message),
        _ => {
            GzDecoder::new(message).read_to_end(&mut plain)?;
        }
    }
    let mut received = Received { size: message.len(), ..Received::default() };
    let request = ExportMetricsServiceRequest::decode(plain.as_slice())?;
    let scopes = request.resource_metrics.into_iter().flat_map(|it| it.scope_metrics);
    for metric in scopes.flat_map(|scope| scope.metrics) {
        received.add(&metric);
    }
    Ok(received)
}

impl Received {
    fn add(&mut self, metric: &Metric) {
        match &metric.data {
            Some(Data::Gauge(gauge)) => self.points += gauge.data_points.len(),
            Some(Data::Sum(sum)) => self.points += sum.data_points.len(),
            Some(Data::ExponentialHistogram(histogram)) => {
                for point in &histogram.data_points {
                    self.points += 1;
                    self.durations += point.count;
                    let buckets = point.positive.iter().flat_map(|it| &it.bucket_counts);
                    self.buckets += buckets.filter(|count| **count > 0).count();
                }
            }
            _ => {}
        }
    }
}
