//! An OTLP receiver for both protocols, which answers as it is told.

use std::{
    collections::VecDeque,
    io::{self, Read},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response, StatusCode,
    body::Incoming,
    header::{HeaderName, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use opentelemetry_proto::tonic::collector::{
    logs::v1::{
        ExportLogsPartialSuccess, ExportLogsServiceRequest, ExportLogsServiceResponse,
        logs_service_server::{LogsService, LogsServiceServer},
    },
    metrics::v1::{
        ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
};
use prost::Message;
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle, time};
use tokio_rustls::TlsAcceptor;
use tonic::{Status, body::Body, codec::CompressionEncoding};
use tower_service::Service;

/// How long a test waits for what has to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is answered to a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// All was taken.
    Taken,
    /// So many items were not.
    Partly(i64, &'static str),
    /// By gRPC.
    Status(Status),
    /// By HTTP.
    Http(StatusCode, Vec<(&'static str, String)>),
    /// By HTTP, with a body.
    Body(StatusCode, Vec<(&'static str, String)>, Bytes),
    /// By HTTP, nothing: the connection is closed.
    Closed,
    /// What is no message.
    Garbage,
    /// Taken, after this time.
    Late(Duration),
}

/// A request that came.
#[derive(Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) headers: HeaderMap,
    pub(crate) payload: Payload,
}

#[derive(Clone, Debug)]
pub(crate) enum Payload {
    Metrics(ExportMetricsServiceRequest),
    Logs(ExportLogsServiceRequest),
}

/// What came, and what is answered next; [`Answer::Taken`] when nothing else is said.
#[derive(Clone, Default)]
pub(crate) struct Inbox {
    received: Arc<Mutex<Vec<Received>>>,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    arrived: Arc<Notify>,
}

/// A receiver. It ends, and its connections with it, when this is dropped.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) inbox: Inbox,
    task: JoinHandle<()>,
}

impl Receiver {
    pub(crate) async fn start(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self::start_at("127.0.0.1:0", Inbox::new(answers), None).await
    }

    pub(crate) async fn start_at(address: &str, inbox: Inbox, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(accept(listener, inbox.clone(), tls));
        Self { address, inbox, task }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Inbox {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let answers = Arc::new(Mutex::new(answers.into_iter().collect()));
        Self { answers, ..Self::default() }
    }

    /// All that came so far.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// All that came, when there are so many.
    pub(crate) async fn wait(&self, count: usize) -> Vec<Received> {
        let came = async {
            while self.all().len() < count {
                self.arrived.notified().await;
            }
        };
        let came = time::timeout(PATIENCE, came).await;
        assert!(came.is_ok(), "{} of {count} requests came", self.all().len());
        self.all()
    }

    fn add(&self, headers: &HeaderMap, payload: Payload) {
        let received = Received { at: Instant::now(), headers: headers.clone(), payload };
        self.received.lock().unwrap().push(received);
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    fn next(&self) -> Answer {
        self.answers.lock().unwrap().pop_front().unwrap_or(Answer::Taken)
    }

    /// What gRPC answers: how many items were rejected, and why.
    async fn answer(&self) -> Result<Option<(i64, String)>, Status> {
        match self.next() {
            Answer::Partly(rejected, why) => return Ok(Some((rejected, why.to_owned()))),
            Answer::Status(status) => return Err(status),
            Answer::Late(time) => time::sleep(time).await,
            Answer::Taken
            | Answer::Http(..)
            | Answer::Body(..)
            | Answer::Closed
            | Answer::Garbage => {}
        }
        Ok(None)
    }
}

async fn accept(listener: TcpListener, inbox: Inbox, tls: Option<TlsAcceptor>) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (inbox, tls) = (inbox.clone(), tls.clone());
        connections.spawn(async move {
            let service = service_fn(move |request| respond(inbox.clone(), request));
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that does not trust us breaks off.
            let _ = match tls {
                None => server.serve_connection(TokioIo::new(stream), service).await,
                Some(tls) => {
                    let Ok(stream) = tls.accept(stream).await else { return };
                    server.serve_connection(TokioIo::new(stream), service).await
                }
            };
        });
    }
}

async fn respond(inbox: Inbox, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    let is_garbage = matches!(inbox.answers.lock().unwrap().front(), Some(Answer::Garbage));
    if is_garbage {
        inbox.next();
        // In gRPC, a message of two bytes, and then that all is well.
        let frame = Full::new(Bytes::from_static(b"\x00\x00\x00\x00\x02\xff\xff"));
        let well = HeaderMap::from_iter([(
            HeaderName::from_static("grpc-status"),
            HeaderValue::from_static("0"),
        )]);
        let body = Body::new(frame.with_trailers(async { Some(Ok(well)) }));
        let kind = request.headers()["content-type"].clone();
        return Ok(Response::builder().header("content-type", kind).body(body).unwrap());
    }
    let response = match path.as_str() {
        "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" => {
            let server = MetricsServiceServer::new(inbox);
            server.accept_compressed(CompressionEncoding::Gzip).call(request).await
        }
        "/opentelemetry.proto.collector.logs.v1.LogsService/Export" => {
            let server = LogsServiceServer::new(inbox);
            server.accept_compressed(CompressionEncoding::Gzip).call(request).await
        }
        _ => return http(inbox, &path, request).await,
    };
    response.map_err(|never| match never {})
}

async fn http(inbox: Inbox, path: &str, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let mut body = body.collect().await.unwrap().to_bytes().to_vec();
    if head.headers.get("content-encoding").is_some_and(|it| it == "gzip") {
        let mut plain = Vec::new();
        GzDecoder::new(body.as_slice()).read_to_end(&mut plain).unwrap();
        body = plain;
    }
    assert_eq!(head.headers["content-type"], "application/x-protobuf");
    let payload = match path {
        "/v1/metrics" => Payload::Metrics(Message::decode(body.as_slice()).unwrap()),
        "/v1/logs" => Payload::Logs(Message::decode(body.as_slice()).unwrap()),
        _ => return Ok(Response::builder().status(404).body(Body::default()).unwrap()),
    };
    inbox.add(&head.headers, payload);
    let mut partial_success = None;
    match inbox.next() {
        Answer::Partly(rejected_data_points, why) => {
            let error_message = why.to_owned();
            partial_success =
                Some(ExportMetricsPartialSuccess { rejected_data_points, error_message });
        }
        Answer::Http(status, headers) => return Ok(plain(status, headers, Bytes::new())),
        Answer::Body(status, headers, body) => return Ok(plain(status, headers, body)),
        Answer::Closed => return Err(io::Error::other("closed without a response")),
        Answer::Late(time) => time::sleep(time).await,
        Answer::Taken | Answer::Status(_) | Answer::Garbage => {}
    }
    let answer = ExportMetricsServiceResponse { partial_success }.encode_to_vec();
    let body = Body::new(Full::new(Bytes::from(answer)));
    let response = Response::builder().header("content-type", "application/x-protobuf");
    Ok(response.body(body).unwrap())
}

fn plain(status: StatusCode, headers: Vec<(&'static str, String)>, body: Bytes) -> Response<Body> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::new(Full::new(body))).unwrap()
}

#[tonic::async_trait]
impl MetricsService for Inbox {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, Status> {
        let (headers, _, message) = request.into_parts();
        self.add(&headers.into_headers(), Payload::Metrics(message));
        let partial_success = self.answer().await?.map(|(rejected_data_points, error_message)| {
            ExportMetricsPartialSuccess { rejected_data_points, error_message }
        });
        Ok(tonic::Response::new(ExportMetricsServiceResponse { partial_success }))
    }
}

#[tonic::async_trait]
impl LogsService for Inbox {
    async fn export(
        &self,
        request: tonic::Request<ExportLogsServiceRequest>,
    ) -> Result<tonic::Response<ExportLogsServiceResponse>, Status> {
        let (headers, _, message) = request.into_parts();
        self.add(&headers.into_headers(), Payload::Logs(message));
        let partial_success = self.answer().await?.map(|(rejected_log_records, error_message)| {
            ExportLogsPartialSuccess { rejected_log_records, error_message }
        });
        Ok(tonic::Response::new(ExportLogsServiceResponse { partial_success }))
    }
}
