//! OTLP over HTTP/1.1, as protobuf.

use std::{
    io::Write,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER, USER_AGENT},
};
use hyper_util::{client::legacy, rt::TokioExecutor};
use prost::Message;
use tonic_types::Status;

use super::{Connector, Failure, Retry};
use crate::config::{Compression, Target};

/// How much of an answer is read.
const MAX_ANSWER: usize = 64 << 10;

/// The type of requests and answers.
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// A way to a receiver by HTTP.
pub(super) struct Http {
    client: legacy::Client<Connector, Full<Bytes>>,
    endpoint: Uri,
    headers: HeaderMap,
    compression: Compression,
}

impl Http {
    pub(super) fn new(target: &Target, connector: Connector) -> Self {
        let mut headers: HeaderMap = target.headers.iter().cloned().collect();
        headers.insert(CONTENT_TYPE, PROTOBUF);
        headers.insert(USER_AGENT, HeaderValue::from_static(super::USER_AGENT));
        if target.compression == Compression::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Self {
            client: legacy::Client::builder(TokioExecutor::new()).build(connector),
            endpoint: target.endpoint.clone(),
            headers,
            compression: target.compression,
        }
    }

    /// Sends a request, and returns the answer.
    pub(super) async fn send(&self, request: Bytes) -> Result<Bytes, Failure> {
        let body = match self.compression {
            Compression::None => request,
            Compression::Gzip => gzip(&request),
        };
        let mut request = Request::post(self.endpoint.clone())
            .body(Full::new(body))
            .map_err(|error| Failure::new("request", &error.to_string(), None))?;
        *request.headers_mut() = self.headers.clone();
        let answer =
            self.client.request(request).await.map_err(|error| Failure::connection(&error))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await;
        if !head.status.is_success() {
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            return Err(failure(head.status, &head.headers, &body));
        }
        let is_protobuf = head
            .headers
            .get(CONTENT_TYPE)
            .is_none_or(|it| it.as_bytes().starts_with(PROTOBUF.as_bytes()));
        match body {
            Ok(body) if is_protobuf => Ok(body.to_bytes()),
            Ok(_) => Err(Failure::malformed("the answer is no protobuf message")),
            Err(error) => Err(Failure::malformed(&error.to_string())),
        }
    }
}

fn gzip(request: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
    // Writing to memory does not fail.
    let _ = encoder.write_all(request);
    encoder.finish().unwrap_or_default().into()
}

/// The meaning of a status that is none of success. Which ones may be tried again is the
/// specification's.
fn failure(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let retry = match status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            let wait = headers.get(RETRY_AFTER).and_then(|value| delay(value.to_str().ok()?));
            Some(wait.map_or(Retry::Later, Retry::After))
        }
        _ => None,
    };
    let said = match Status::decode(body) {
        Ok(status) if !status.message.is_empty() => status.message,
        _ => String::from_utf8_lossy(body).trim().to_owned(),
    };
    let reason = [status.to_string(), said].join(": ");
    Failure::new(status.as_str(), reason.trim_end_matches(": "), retry)
}

/// How long to wait: so many seconds, or until a date.
fn delay(value: &str) -> Option<Duration> {
    let seconds = value.trim().parse().map(Duration::from_secs).ok();
    seconds.or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default())
    })
}
