//! OTLP over HTTP/1.1, as protobuf.

mod redirect;
mod response;

use std::{error::Error, io, io::Write};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response, Uri,
    body::Incoming,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, USER_AGENT},
};
use hyper_util::{client::legacy, rt::TokioExecutor};

use super::{Accepted, Connector, Failure, is_same_host};
use crate::config::{Compression, Signal, Target, Temporality, without_query};

/// The media type of requests and responses.
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Maximum number of redirects that one request follows.
const MAX_REDIRECTS: usize = 5;

/// A client of a receiver by HTTP.
pub(super) struct Http {
    client: legacy::Client<Connector, Full<Bytes>>,
    endpoint: Uri,
    /// The headers of a request, without those of the configuration.
    headers: HeaderMap,
    /// Those of the configuration, which may be credentials.
    configured: HeaderMap,
    compression: Compression,
    /// Whether a request may arrive twice without harm: cumulative metrics do.
    is_idempotent: bool,
}

/// What came of a request.
enum Step {
    Redirected(Uri),
    Taken(Accepted),
}

impl Http {
    pub(super) fn new(target: &Target, signal: Signal, connector: Connector) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
        if target.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Self {
            client: legacy::Client::builder(TokioExecutor::new()).build(connector),
            endpoint: target.endpoint.clone(),
            headers,
            configured: target.headers.iter().cloned().collect(),
            compression: target.compression,
            is_idempotent: signal == Signal::Metrics
                && target.temporality == Temporality::Cumulative,
        }
    }

    /// Sends a request and follows redirects.
    pub(super) async fn send(&self, request: Bytes) -> Result<Accepted, Failure> {
        let body = match self.compression {
            Compression::None => request,
            Compression::Gzip => gzip(&request),
        };
        let mut to = self.endpoint.clone();
        for _ in 0..=MAX_REDIRECTS {
            let is_redirected = to != self.endpoint;
            let result = self.step(&to, &body).await.map_err(|failure| match is_redirected {
                true => failure.after(&format!("redirected to {}", without_query(&to.to_string()))),
                false => failure,
            });
            match result? {
                Step::Redirected(location) => to = location,
                Step::Taken(accepted) => return Ok(accepted),
            }
        }
        let last = without_query(&to.to_string());
        Err(redirect::failure(&format!("more than {MAX_REDIRECTS} redirects, the last to {last}")))
    }

    /// Sends a request once, and reads where it has to go next.
    async fn step(&self, to: &Uri, body: &Bytes) -> Result<Step, Failure> {
        let response = self.exchange(to, body).await?;
        match redirect::location(to, &response)? {
            Some(location) => Ok(Step::Redirected(location)),
            None => response::outcome(response).await.map(Step::Taken),
        }
    }

    async fn exchange(&self, to: &Uri, body: &Bytes) -> Result<Response<Incoming>, Failure> {
        let response = match self.client.request(self.request(to, body)?).await {
            // The receiver closed an idle connection just as the request began.
            Err(error) if self.is_idempotent && is_closed(&error) => {
                self.client.request(self.request(to, body)?).await
            }
            response => response,
        };
        response.map_err(|error| match error.is_connect() {
            true => Failure::connection(&error),
            false => Failure::broken(&error),
        })
    }

    fn request(&self, to: &Uri, body: &Bytes) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::post(to.clone())
            .body(Full::new(body.clone()))
            .map_err(|error| Failure::new("request", &error.to_string(), None))?;
        *request.headers_mut() = match is_same_host(to, &self.endpoint) {
            true => self.configured.clone(),
            false => HeaderMap::new(),
        };
        request.headers_mut().extend(self.headers.clone());
        Ok(request)
    }
}

/// Whether the other end closed an established connection before it responded.
fn is_closed(error: &legacy::Error) -> bool {
    let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
    !error.is_connect()
        && causes.any(|cause| {
            let by_http = cause.downcast_ref::<hyper::Error>();
            let by_socket = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            by_http.is_some_and(|error| error.is_incomplete_message() || error.is_canceled())
                || matches!(
                    by_socket,
                    Some(io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
                )
        })
}

fn gzip(request: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(request);
    encoder.finish().unwrap_or_default().into()
}
