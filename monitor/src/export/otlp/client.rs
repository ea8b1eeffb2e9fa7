//! Sends requests to a receiver, and says what came of each.

mod connection;
mod grpc;
mod http;

use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::{Uri, http::uri::Scheme};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message;
use tokio::time;

pub(super) use self::connection::{Tls, tls};
use self::{connection::Connector, grpc::Grpc, http::Http};
use crate::config::{Protocol, Signal, Target};

/// How requests say who sent them.
const USER_AGENT: &str = concat!("monitor/", env!("CARGO_PKG_VERSION"));

/// Age at which connections are replaced. Behind a load balancer or a DNS name, receivers come and go, and one that
/// drains its connections does not wait for ever.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// How much of what a receiver says of a failure is repeated.
const MAX_REASON: usize = 300;

/// What a receiver that took a request says of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Accepted {
    /// How many of the items it did not take after all.
    pub(super) rejected: u64,
    /// What else it has to say.
    pub(super) message: String,
}

/// Why a request was not taken.
#[derive(Debug)]
pub(super) struct Failure {
    /// In a word, as `error.type` has it.
    pub(super) kind: String,
    /// In a sentence.
    pub(super) reason: String,
    /// When the same may be sent again, by the rules of the protocol; `None` if it would fail again.
    pub(super) retry: Option<Retry>,
    /// Whether the receiver may have taken it all the same.
    pub(super) in_doubt: bool,
}

/// When a request that was not taken may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Some time later.
    Later,
    /// When the receiver says, at the earliest.
    After(Duration),
}

impl Failure {
    fn new(kind: impl Into<String>, reason: &str, retry: Option<Retry>) -> Self {
        let mut reason: String = reason.chars().take(MAX_REASON).collect();
        reason.retain(|sign| !sign.is_control());
        Self { kind: kind.into(), reason, retry, in_doubt: false }
    }

    /// The same, after something else.
    fn after(self, what: &str) -> Self {
        let reason = format!("{what}: {}", self.reason);
        Self { in_doubt: self.in_doubt, ..Self::new(self.kind, &reason, self.retry) }
    }

    /// The receiver cannot be reached.
    fn connection(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::new("connection", &crate::error::chain(error), Some(Retry::Later))
    }

    /// The receiver broke the connection off, maybe after it took the request.
    fn broken(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { in_doubt: true, ..Self::connection(error) }
    }

    /// Something else than a receiver responded. The data may have been taken, so it is not sent again.
    fn malformed(what: &str) -> Self {
        Self::new("malformed_response", what, None)
    }
}

/// A way to a receiver.
pub(super) struct Client {
    target: Target,
    signal: Signal,
    connector: Connector,
    transport: Transport,
    /// When `transport` was made.
    made: Instant,
    max_age: Duration,
}

enum Transport {
    Grpc(Box<Grpc>),
    Http(Box<Http>),
}

impl Client {
    /// Connects when the first request is sent.
    pub(super) fn new(target: Target, signal: Signal, tls: Option<Tls>) -> Self {
        let connector = Connector::new(target.endpoint.clone(), tls, target.timeout);
        let transport = Transport::new(&target, signal, connector.clone());
        Self { target, signal, connector, transport, made: Instant::now(), max_age: MAX_AGE }
    }

    /// Makes a new connection for the next request.
    fn reconnect(&mut self) {
        self.connector = self.connector.again();
        self.transport = Transport::new(&self.target, self.signal, self.connector.clone());
        self.made = Instant::now();
    }

    /// Sends an encoded request, once.
    pub(super) async fn send(&mut self, request: Bytes) -> Result<Accepted, Failure> {
        if self.made.elapsed() > self.max_age {
            self.reconnect();
        }
        let limit = self.target.timeout;
        let answer = async {
            match &mut self.transport {
                Transport::Grpc(grpc) => grpc.send(request).await.map(|answer| accepted(&answer)),
                Transport::Http(http) => http.send(request).await,
            }
        };
        let Ok(answer) = time::timeout(limit, answer).await else {
            let in_doubt = self.connector.has_connected();
            // The other end may be gone without a word, and the connection with it.
            self.reconnect();
            let reason = format!("no answer in {limit:?}");
            let failure = Failure::new("timeout", &reason, Some(Retry::Later));
            return Err(Failure { in_doubt, ..failure });
        };
        answer
    }
}

impl Transport {
    fn new(target: &Target, signal: Signal, connector: Connector) -> Self {
        match target.protocol {
            Protocol::Grpc => Self::Grpc(Box::new(Grpc::new(target, signal, connector))),
            Protocol::HttpProtobuf => Self::Http(Box::new(Http::new(target, signal, connector))),
        }
    }
}

/// Whether two addresses have the same host and port.
fn is_same_host(one: &Uri, other: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().unwrap_or(if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 })
    };
    let host = |uri: &Uri| uri.host().map(str::to_ascii_lowercase);
    host(one) == host(other) && port(one) == port(other)
}

/// The content of a response to a request that was taken, the same for metrics and for logs. One that
/// cannot be decoded changes nothing about that.
fn accepted(response: &[u8]) -> Accepted {
    match ExportMetricsServiceResponse::decode(response) {
        Ok(response) => {
            let partial = response.partial_success.unwrap_or_default();
            let rejected = partial.rejected_data_points.try_into().unwrap_or(0);
            Accepted { rejected, message: partial.error_message }
        }
        Err(error) => Accepted { rejected: 0, message: format!("invalid response: {error}") },
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;
    use crate::config::{Origins, OtlpConfig};

    #[tokio::test]
    async fn connections_are_replaced_at_their_maximum_age() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = OtlpConfig {
            endpoint: Some(format!("http://{}", listener.local_addr().unwrap())),
            protocol: Protocol::HttpProtobuf,
            ..OtlpConfig::default()
        };
        let target = config.target(Signal::Logs, &|_| None, &Origins::default()).unwrap().unwrap();
        let receiver = tokio::spawn(async move {
            // How many requests came on each connection.
            let mut requests = Vec::new();
            while requests.len() < 2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                requests.push(0);
                let mut request = vec![0; 4096];
                while requests.iter().sum::<u32>() < 4
                    && stream.read(&mut request).await.unwrap() > 0
                {
                    *requests.last_mut().unwrap() += 1;
                    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(response).await.unwrap();
                }
            }
            requests
        });
        let mut client = Client::new(target, Signal::Logs, None);
        for max_age in [MAX_AGE, MAX_AGE, Duration::ZERO, MAX_AGE] {
            client.max_age = max_age;
            client.send(Bytes::new()).await.unwrap();
        }
        assert_eq!(receiver.await.unwrap(), [2, 2]);
    }

    #[test]
    fn a_host_is_the_same_whatever_its_spelling() {
        let is_same =
            |one: &str, other: &str| is_same_host(&one.parse().unwrap(), &other.parse().unwrap());
        assert!(is_same("https://a/v1", "https://A:443/v2"));
        assert!(is_same("http://a:80", "http://a"));
        assert!(!is_same("https://a", "https://a:4318"));
        assert!(!is_same("https://a", "https://b"));
    }
}
