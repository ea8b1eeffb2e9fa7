//! What a response by HTTP means for the request.

use std::{
    io::Read,
    time::{Duration, SystemTime},
};

use flate2::read::{GzDecoder, ZlibDecoder};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::Body,
    header::{CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use prost::Message;
use tokio::time;
use tonic_types::Status;

use super::{
    super::{Accepted, Failure, Retry, accepted},
    PROTOBUF,
};

/// Maximum number of bytes that are read of a body, and that it may have when it is decoded.
const MAX_BODY: usize = 64 << 10;

/// How long a body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(1);

/// The outcome of a request. Any 2xx means that the receiver has the data, whatever its body; a web
/// page means that something else responded.
pub(super) async fn outcome<B>(response: Response<B>) -> Result<Accepted, Failure>
where
    B: Body<Data: AsRef<[u8]>> + Unpin,
{
    let (head, body) = response.into_parts();
    // The status has been read: a body that does not come changes nothing.
    let body = time::timeout(BODY_TIMEOUT, start(body)).await.unwrap_or_default();
    let body = decoded(body, &head.headers);
    if !head.status.is_success() {
        return Err(failure(head.status, &head.headers, &body));
    }
    let kind = content_type(&head.headers);
    if is_page(kind, &body) {
        return Err(Failure::malformed(&format!("{} with a web page", head.status)));
    }
    let is_message = kind.is_empty() || kind.as_bytes().starts_with(PROTOBUF.as_bytes());
    Ok(if is_message { accepted(&body) } else { Accepted::default() })
}

/// As much of a body as is read. A connection that breaks in a body leaves what came before.
async fn start<B>(mut body: B) -> Vec<u8>
where
    B: Body<Data: AsRef<[u8]>> + Unpin,
{
    let mut start = Vec::new();
    while let Some(Ok(frame)) = body.frame().await {
        start.extend(frame.data_ref().map(AsRef::as_ref).unwrap_or_default());
        if start.len() >= MAX_BODY {
            start.truncate(MAX_BODY);
            break;
        }
    }
    start
}

/// A body without its content encoding; empty where that is not known here. What is cut off or broken
/// is decoded up to there.
fn decoded(body: Vec<u8>, headers: &HeaderMap) -> Vec<u8> {
    let encoding = headers.get(CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    let mut plain = Vec::new();
    let limit = MAX_BODY as u64;
    // What was decoded before an error is there all the same.
    let _ = match encoding {
        b"" | b"identity" => return body,
        b"gzip" | b"x-gzip" => GzDecoder::new(&*body).take(limit).read_to_end(&mut plain),
        b"deflate" => ZlibDecoder::new(&*body).take(limit).read_to_end(&mut plain),
        _ => Ok(0),
    };
    plain
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a body is a web page, as of a captive portal or of another port.
fn is_page(kind: &str, body: &[u8]) -> bool {
    let start = body.trim_ascii_start();
    let begins = |with: &str| {
        start.get(..with.len()).is_some_and(|it| it.eq_ignore_ascii_case(with.as_bytes()))
    };
    kind.starts_with("text/html")
        || kind.starts_with("application/xhtml")
        || begins("<!doctype html")
        || begins("<html")
}

/// The meaning of a status other than 2xx. Which ones may be sent again is defined by the
/// specification.
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
    let message = match Status::decode(body) {
        Ok(status) if !status.message.is_empty() => Some(status.message),
        _ if is_page(content_type(headers), body) => Some("a web page".to_owned()),
        _ => text(body),
    };
    let reason = [Some(status.to_string()), message];
    let reason = reason.into_iter().flatten().collect::<Vec<_>>().join(": ");
    // A proxy waited for the receiver in vain.
    let in_doubt = matches!(status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT);
    Failure { in_doubt, ..Failure::new(status.as_str(), &reason, retry) }
}

/// A body that is text; one that is cut off may end within a character.
fn text(body: &[u8]) -> Option<String> {
    let text = match str::from_utf8(body) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            str::from_utf8(&body[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let is_text = !text.contains(|sign: char| sign.is_control() && !sign.is_whitespace());
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    (is_text && !text.is_empty()).then_some(text)
}

/// How long to wait: a number of seconds, or until a date.
fn delay(value: &str) -> Option<Duration> {
    let seconds = value.trim().parse().map(Duration::from_secs).ok();
    seconds.or_else(|| {
        let date = httpdate::parse_http_date(value).ok()?;
        Some(date.duration_since(SystemTime::now()).unwrap_or_default())
    })
}
