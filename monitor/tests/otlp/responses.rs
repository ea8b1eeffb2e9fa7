//! Responses that no specification foresees, and that receivers and what is before them give.

use std::{collections::BTreeMap, io::Write, time::Duration};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use hyper::{
    StatusCode,
    header::{AUTHORIZATION, HeaderValue},
};
use monitor::config::{Protocol, Signal, Target};
use tokio::time::sleep;
use tonic::{Code, Status};

use crate::{
    receiver::{Answer, Receiver},
    setup::{self, Exporter, Log, target},
};

/// A response with a media type, or without one where that is empty.
fn response(status: u16, kind: &str, body: impl Into<Bytes>) -> Answer {
    let kind = Some(kind).filter(|kind| !kind.is_empty());
    let headers = kind.map(|kind| ("content-type", kind.to_owned())).into_iter().collect();
    Answer::Body(StatusCode::from_u16(status).unwrap(), headers, body.into())
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// Sends three records to a receiver that gives this response, then two more to it.
async fn send(protocol: Protocol, answer: Answer) -> (Exporter, Receiver) {
    let is_noted = !matches!(answer, Answer::Garbage);
    let receiver = Receiver::start([answer]).await;
    let target = target(&receiver.endpoint(), protocol);
    let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
    exporter.push_events(3);
    match is_noted {
        true => drop(receiver.inbox.wait(1).await),
        false => sleep(Duration::from_millis(1500)).await,
    }
    exporter.push_events(2);
    exporter.stop().await;
    (exporter, receiver)
}

#[tokio::test]
async fn any_2xx_is_success() {
    let (log, _guard) = Log::listen();
    for (status, kind, body) in [
        (200, "application/json", "{\"partialSuccess\":{}}"),
        (202, "application/json; charset=utf-8", "{}"),
        (200, "text/plain", "ok"),
        (202, "text/plain; charset=utf-8", ""),
        (204, "", ""),
        (200, "", "ok"),
        (200, "application/x-protobuf", "no message"),
    ] {
        let answer = response(status, kind, body);
        let (exporter, _receiver) = send(Protocol::HttpProtobuf, answer).await;
        let account = exporter.account(Signal::Logs);
        assert_eq!(account.items, 5, "{status} {kind} {body}");
        assert_eq!((account.failures, exporter.lost(Signal::Logs)), Default::default());
    }
    let (exporter, _receiver) = send(Protocol::Grpc, Answer::Garbage).await;
    assert_eq!(exporter.account(Signal::Logs).items, 5);
    assert_eq!(log.lines("WARN"), Vec::<String>::new());
}

#[tokio::test]
async fn a_web_page_is_no_success() {
    for answer in [
        response(200, "text/html; charset=utf-8", "<p>Please log in</p>"),
        response(200, "", "\n<!DOCTYPE html><title>Please log in</title>"),
    ] {
        let (log, _guard) = Log::listen();
        let (exporter, _receiver) = send(Protocol::HttpProtobuf, answer).await;
        let lost = BTreeMap::from([("malformed_response".to_owned(), 3)]);
        assert_eq!(exporter.lost(Signal::Logs), lost);
        assert_eq!(log.lines("web page").len(), 1, "{:?}", log.lines(""));
    }
}

#[tokio::test]
async fn an_error_is_repeated_as_text_or_not_at_all() {
    let long = "full ".repeat(1 << 18);
    for (kind, encoding, body, expected) in [
        ("text/plain", "gzip", gzip(b"disk full"), "400 Bad Request: disk full;"),
        ("text/plain", "gzip", gzip(long.as_bytes()), "400 Bad Request: full full"),
        ("text/plain", "", long.clone().into_bytes(), "400 Bad Request: full full"),
        ("text/plain", "br", b"\x0b\x02\x80full\x03".to_vec(), "400 Bad Request;"),
        ("application/octet-stream", "", vec![0xff, 0xfe, 0, 1, 2], "400 Bad Request;"),
        ("text/plain", "", b"a\x1b[31mb\0".to_vec(), "400 Bad Request;"),
        ("text/html", "", b"<html><body>no</body></html>".to_vec(), "400 Bad Request: a web page;"),
    ] {
        let (log, _guard) = Log::listen();
        let mut headers = vec![("content-type", kind.to_owned())];
        headers.extend((!encoding.is_empty()).then(|| ("content-encoding", encoding.to_owned())));
        let answer = Answer::Body(StatusCode::BAD_REQUEST, headers, body.into());
        let (exporter, _receiver) = send(Protocol::HttpProtobuf, answer).await;
        let lost = BTreeMap::from([("400".to_owned(), 3)]);
        assert_eq!(exporter.lost(Signal::Logs), lost);
        let lines = log.lines("not sent to");
        assert!(lines.len() == 1 && lines[0].contains(expected), "{expected}: {lines:?}");
        assert!(lines[0].len() < 600, "{lines:?}");
    }
}

#[tokio::test]
async fn a_reason_of_grpc_is_said_once() {
    let (log, _guard) = Log::listen();
    let refused = Answer::Status(Status::new(Code::InvalidArgument, "out of order"));
    let (_exporter, _receiver) = send(Protocol::Grpc, refused).await;
    let lines = log.lines("not sent to");
    assert!(
        lines.len() == 1 && lines[0].contains(": InvalidArgument: out of order; "),
        "{lines:?}"
    );
}

#[tokio::test]
async fn redirects_that_keep_the_request_are_followed() {
    for status in [307, 308] {
        let to = Receiver::start([]).await;
        let location = format!("{}/v1/logs", to.endpoint());
        let headers = vec![("location", location)];
        let redirect = Answer::Http(StatusCode::from_u16(status).unwrap(), headers);
        // Credentials stay with the host that they are for; another port is another host.
        let from = Receiver::start([redirect]).await;
        let mut secret = HeaderValue::from_static("Bearer s3cr3t");
        secret.set_sensitive(true);
        let target = Target {
            headers: vec![(AUTHORIZATION, secret)],
            ..target(&from.endpoint(), Protocol::HttpProtobuf)
        };
        let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
        exporter.push_events(3);
        let moved = to.inbox.wait(1).await;
        exporter.stop().await;
        assert!(!moved[0].headers.contains_key(AUTHORIZATION), "{:?}", moved[0].headers);
        assert_eq!(from.inbox.all()[0].headers[AUTHORIZATION], "Bearer s3cr3t");
        let account = exporter.account(Signal::Logs);
        assert_eq!((account.items, account.failures.len()), (3, 0));
    }
}

#[tokio::test]
async fn other_redirects_name_their_location_and_keep_the_records() {
    for (status, location) in
        [(302, "/login"), (301, "http://127.0.0.1:1/v1/logs"), (307, "https://127.0.0.1:1/v1/logs")]
    {
        let (log, _guard) = Log::listen();
        let headers = vec![("location", location.to_owned())];
        let redirect = Answer::Http(StatusCode::from_u16(status).unwrap(), headers);
        let receiver = Receiver::start([redirect]).await;
        let target = target(&receiver.endpoint(), Protocol::HttpProtobuf);
        let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
        exporter.push_events(3);
        receiver.inbox.wait(2).await;
        exporter.stop().await;
        assert_eq!(exporter.account(Signal::Logs).items, 3);
        let lines = log.lines("not sent to");
        assert!(lines.len() == 1 && lines[0].contains(location), "{lines:?}");
    }
}

#[tokio::test]
async fn a_redirect_to_itself_ends() {
    let headers = vec![("location", "/v1/logs".to_owned())];
    let redirect = Answer::Http(StatusCode::TEMPORARY_REDIRECT, headers);
    let receiver = Receiver::start(vec![redirect; 6]).await;
    let target = target(&receiver.endpoint(), Protocol::HttpProtobuf);
    let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
    exporter.push_events(3);
    receiver.inbox.wait(7).await;
    exporter.stop().await;
    let account = exporter.account(Signal::Logs);
    let failures = BTreeMap::from([("redirect".to_owned(), 1)]);
    assert_eq!((account.items, account.failures), (3, failures));
}

#[tokio::test]
async fn a_connection_closed_at_the_start_of_a_request_is_replaced() {
    let (log, _guard) = Log::listen();
    let receiver = Receiver::start([Answer::Taken, Answer::Closed]).await;
    let target = target(&receiver.endpoint(), Protocol::HttpProtobuf);
    let mut exporter = Exporter::start(setup::of_each_kind(1), &[Signal::Metrics], &target);
    receiver.inbox.wait(1).await;
    exporter.publish(setup::of_each_kind(2));
    receiver.inbox.wait(3).await;
    exporter.stop().await;
    let account = exporter.account(Signal::Metrics);
    assert_eq!((account.requests, account.failures), (2, BTreeMap::new()));
    assert_eq!(log.lines("WARN"), Vec::<String>::new());
}

#[tokio::test]
async fn a_second_close_is_a_failure() {
    let receiver = Receiver::start([Answer::Closed, Answer::Closed]).await;
    let target = target(&receiver.endpoint(), Protocol::HttpProtobuf);
    let exporter = Exporter::start(setup::of_each_kind(1), &[Signal::Metrics], &target);
    receiver.inbox.wait(3).await;
    let failures = BTreeMap::from([("connection".to_owned(), 1)]);
    assert_eq!(exporter.account(Signal::Metrics).failures, failures);
}
