//! Receivers that are gone, slow, full or wrong: each is tried again as it may be, logged once when
//! that begins and once when it ends, and counted.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use hyper::{
    StatusCode,
    header::{AUTHORIZATION, HeaderValue},
};
use monitor::config::{Protocol, Signal, Target};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{
    receiver::{Answer, Inbox, Payload, Received, Receiver},
    setup::{self, Exporter, Log, PROTOCOLS, target},
};

/// A failure in both protocols.
fn failure(protocol: Protocol, code: Code, status: StatusCode) -> Answer {
    match protocol {
        Protocol::Grpc => Answer::Status(Status::new(code, "so it is")),
        Protocol::HttpProtobuf => Answer::Http(status, Vec::new()),
    }
}

/// The same, with a wish when to be asked again.
fn wish(protocol: Protocol, seconds: u64) -> Answer {
    match protocol {
        Protocol::Grpc => {
            let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(seconds)));
            let code = Code::ResourceExhausted;
            Answer::Status(Status::with_error_details(code, "full", details))
        }
        Protocol::HttpProtobuf => {
            let headers = vec![("retry-after", seconds.to_string())];
            Answer::Http(StatusCode::TOO_MANY_REQUESTS, headers)
        }
    }
}

/// A wish of gRPC's that names no time.
fn wish_without_a_time() -> Answer {
    let details = ErrorDetails::with_retry_info(None);
    Answer::Status(Status::with_error_details(Code::ResourceExhausted, "full", details))
}

/// Counts of failures or losses.
fn counts<const N: usize>(counts: [(&str, u64); N]) -> BTreeMap<String, u64> {
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

#[tokio::test]
async fn a_wrong_token_is_not_tried_again_and_logged_once() {
    for protocol in PROTOCOLS {
        let (log, _guard) = Log::listen();
        let kind = match protocol {
            Protocol::Grpc => "Unauthenticated",
            Protocol::HttpProtobuf => "401",
        };
        let refuse = failure(protocol, Code::Unauthenticated, StatusCode::UNAUTHORIZED);
        let receiver = Receiver::start(vec![refuse; 3]).await;
        let mut token = HeaderValue::from_static("Bearer wrong");
        token.set_sensitive(true);
        let target = Target {
            headers: vec![(AUTHORIZATION, token)],
            ..target(&receiver.endpoint(), protocol)
        };
        let signals = [Signal::Metrics];
        let exporter = Exporter::start(setup::of_each_kind(1), &signals, &target);
        for tick in 2..=4 {
            let received = receiver.inbox.wait(tick as usize - 1).await;
            let sent = &received.last().unwrap().headers["authorization"];
            assert_eq!(sent, "Bearer wrong");
            // Nothing is sent but by a later view.
            sleep(target.interval * 3).await;
            assert_eq!(receiver.inbox.all().len(), tick as usize - 1);
            if tick == 4 {
                let statuses = exporter.records.ledger().statuses();
                let status = serde_json::to_value(&statuses[0]).unwrap();
                assert_eq!(status["state"], "failing", "{status}");
                assert!(status["problems"][0].as_str().unwrap().contains(kind), "{status}");
            }
            exporter.publish(setup::of_each_kind(tick));
        }
        receiver.inbox.wait(4).await;
        sleep(target.interval).await;
        let account = exporter.account(Signal::Metrics);
        assert_eq!(account.failures, counts([(kind, 3)]));
        assert_eq!(exporter.lost(Signal::Metrics), counts([(kind, 15)]));
        assert_eq!((account.requests, account.items), (4, 5));
        let said = log.lines("not sent to");
        assert!(said.len() == 1 && said[0].contains("otlp.headers"), "{said:?}");
        assert_eq!(log.lines("again").len(), 1, "{:?}", log.lines(""));
        assert!(log.lines("wrong").is_empty(), "the token is in the log");
        let status = serde_json::to_value(&exporter.records.ledger().statuses()[0]).unwrap();
        assert_eq!(status["state"], "active", "{status}");
    }
}

#[tokio::test]
async fn a_receiver_is_asked_again_when_it_says() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start([wish(protocol, 2)]).await;
        let target = target(&receiver.endpoint(), protocol);
        let signals = [Signal::Metrics];
        let exporter = Exporter::start(setup::of_each_kind(1), &signals, &target);
        let received = receiver.inbox.wait(2).await;
        let waited = received[1].at - received[0].at;
        assert!((2.0..3.0).contains(&waited.as_secs_f64()), "{waited:?} by {protocol:?}");
        assert!(exporter.lost(Signal::Metrics).is_empty());
    }
}

#[tokio::test]
async fn only_what_the_protocol_allows_is_tried_again() {
    let status = |code| Answer::Status(Status::new(code, "so it is"));
    let http = |status| Answer::Http(status, Vec::new());
    let mut cases = JoinSet::new();
    for (protocol, answer, kind, retry) in [
        (Protocol::Grpc, status(Code::Unavailable), "Unavailable", Again::Refused),
        (Protocol::Grpc, status(Code::Aborted), "Aborted", Again::Refused),
        (Protocol::Grpc, status(Code::DeadlineExceeded), "DeadlineExceeded", Again::InDoubt),
        // Without a wish when to be asked again it is not meant to be.
        (Protocol::Grpc, status(Code::ResourceExhausted), "ResourceExhausted", Again::Never),
        (Protocol::Grpc, wish_without_a_time(), "ResourceExhausted", Again::Refused),
        (Protocol::Grpc, status(Code::Internal), "Internal", Again::Never),
        (Protocol::HttpProtobuf, http(StatusCode::TOO_MANY_REQUESTS), "429", Again::Refused),
        (Protocol::HttpProtobuf, http(StatusCode::BAD_GATEWAY), "502", Again::InDoubt),
        (Protocol::HttpProtobuf, http(StatusCode::SERVICE_UNAVAILABLE), "503", Again::Refused),
        (Protocol::HttpProtobuf, http(StatusCode::GATEWAY_TIMEOUT), "504", Again::InDoubt),
        (Protocol::HttpProtobuf, http(StatusCode::BAD_REQUEST), "400", Again::Never),
        (Protocol::HttpProtobuf, http(StatusCode::INTERNAL_SERVER_ERROR), "500", Again::Never),
    ] {
        cases.spawn(fails_once(protocol, answer, kind, retry));
    }
    cases.join_all().await;
}

/// Whether a request that failed is sent again.
#[derive(PartialEq)]
enum Again {
    Never,
    /// The receiver does not have it.
    Refused,
    /// The receiver may have it.
    InDoubt,
}

/// Sends records to a receiver that fails once, and checks whether they are sent again.
async fn fails_once(protocol: Protocol, answer: Answer, kind: &str, retry: Again) {
    let is_retried = retry != Again::Never;
    let receiver = Receiver::start([answer]).await;
    let target = target(&receiver.endpoint(), protocol);
    let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
    exporter.push_events(3);
    if is_retried {
        receiver.inbox.wait(2).await;
    } else {
        receiver.inbox.wait(1).await;
        sleep(Duration::from_millis(2500)).await;
        assert_eq!(receiver.inbox.all().len(), 1, "{kind} was tried again");
    }
    // Those after it come through in any case.
    exporter.push_events(2);
    exporter.stop().await;
    let account = exporter.account(Signal::Logs);
    assert_eq!(account.failures, counts([(kind, 1)]), "by {protocol:?}");
    assert_eq!(account.resent, if retry == Again::InDoubt { 3 } else { 0 }, "{kind}");
    if is_retried {
        assert_eq!((account.items, exporter.lost(Signal::Logs)), (5, counts([])));
    } else {
        assert_eq!((account.items, exporter.lost(Signal::Logs)), (2, counts([(kind, 3)])));
    }
}

#[tokio::test]
async fn what_a_receiver_rejects_is_counted() {
    for protocol in PROTOCOLS {
        let (log, _guard) = Log::listen();
        let partly = Answer::Partly(2, "too old");
        let receiver = Receiver::start([partly.clone(), partly]).await;
        let target = target(&receiver.endpoint(), protocol);
        let signals = [Signal::Metrics];
        let mut exporter = Exporter::start(setup::of_each_kind(1), &signals, &target);
        for tick in 2..=3 {
            receiver.inbox.wait(tick as usize - 1).await;
            exporter.publish(setup::of_each_kind(tick));
        }
        receiver.inbox.wait(3).await;
        exporter.stop().await;
        let account = exporter.account(Signal::Metrics);
        assert_eq!(exporter.lost(Signal::Metrics), counts([("rejected", 4)]));
        assert_eq!((account.items, account.failures.len()), (11, 0));
        let said = log.lines("too old");
        assert!(said.len() == 1 && said[0].contains("rejected"), "{said:?}");
        assert_eq!(log.lines("again").len(), 1);
    }
}

#[tokio::test]
async fn a_slow_receiver_is_given_up_and_tried_again() {
    for protocol in PROTOCOLS {
        let receiver = Receiver::start([Answer::Late(Duration::from_secs(60))]).await;
        let timeout = Duration::from_millis(300);
        let target = Target { timeout, ..target(&receiver.endpoint(), protocol) };
        let signals = [Signal::Metrics];
        let exporter = Exporter::start(setup::of_each_kind(1), &signals, &target);
        receiver.inbox.wait(1).await;
        // What is tried again is what is known by then.
        exporter.publish(setup::of_each_kind(7));
        let received = receiver.inbox.wait(2).await;
        let waited = received[1].at - received[0].at;
        assert!((0.75..2.0).contains(&waited.as_secs_f64()), "{waited:?}");
        let Payload::Metrics(request) = &received[1].payload else { panic!("no metrics") };
        let text = format!("{request:?}");
        assert!(text.contains("AsDouble(7.0)"), "{text}");
        sleep(target.interval).await;
        let account = exporter.account(Signal::Metrics);
        assert_eq!(account.failures, counts([("timeout", 1)]));
        assert_eq!((account.items, exporter.lost(Signal::Metrics)), (5, counts([])));
    }
}

#[tokio::test]
async fn nothing_is_lost_when_a_receiver_goes_and_comes_back() {
    for protocol in PROTOCOLS {
        let (log, _guard) = Log::listen();
        let receiver = Receiver::start([]).await;
        let address = receiver.address.to_string();
        let target = target(&receiver.endpoint(), protocol);
        let signals = [Signal::Metrics, Signal::Logs];
        let mut exporter = Exporter::start(setup::of_each_kind(1), &signals, &target);
        exporter.push_events(10);
        receiver.inbox.wait(2).await;
        drop(receiver);
        exporter.publish(setup::of_each_kind(2));
        exporter.push_events(20);
        sleep(Duration::from_secs(3)).await;
        let statuses = serde_json::to_value(exporter.records.ledger().statuses()).unwrap();
        assert_eq!(
            (&statuses[0]["state"], &statuses[1]["state"]),
            (&"failing".into(), &"failing".into())
        );
        exporter.publish(setup::of_each_kind(3));
        exporter.push_events(30);
        let receiver = Receiver::start_at(&address, Inbox::default(), None).await;
        // The metrics, and the two batches of records.
        receiver.inbox.wait(3).await;
        exporter.stop().await;
        let (metrics, logs) = (exporter.account(Signal::Metrics), exporter.account(Signal::Logs));
        let lost = signals.map(|signal| exporter.lost(signal));
        assert_eq!(lost, [counts([]), counts([])]);
        assert_eq!((metrics.items, logs.items), (10, 60));
        assert!(metrics.failures["connection"] >= 2, "{metrics:?}");
        for signal in ["metrics", "logs"] {
            assert_eq!(log.lines(&format!("{signal} not sent")).len(), 1, "{:?}", log.lines(""));
            assert_eq!(log.lines(&format!("{signal} sent")).len(), 1, "{:?}", log.lines(""));
        }
    }
}

#[tokio::test]
async fn what_no_receiver_can_have_is_not_counted_as_resent() {
    for protocol in PROTOCOLS {
        for is_listening in [false, true] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            // Where it listens, it takes connections and does not encrypt them.
            let silent = is_listening.then_some(listener);
            let scheme = if is_listening { "https" } else { "http" };
            let timeout = Duration::from_millis(300);
            let target = Target { timeout, ..target(&format!("{scheme}://{address}"), protocol) };
            let mut exporter =
                Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
            exporter.push_events(3);
            let failures = || exporter.account(Signal::Logs).failures.into_values().sum::<u64>();
            while failures() < 2 {
                sleep(Duration::from_millis(10)).await;
            }
            assert_eq!(exporter.account(Signal::Logs).resent, 0, "{protocol:?} {is_listening}");
            drop(silent);
            exporter.stop().await;
        }
    }
}

#[tokio::test]
async fn an_outage_costs_no_more_than_the_queue() {
    const EVENTS: u32 = 60_000;
    // Nobody listens there any more.
    let receiver = Receiver::start([]).await;
    let address = receiver.address.to_string();
    let target = target(&receiver.endpoint(), Protocol::Grpc);
    drop(receiver);
    let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
    let begin = Instant::now();
    for _ in 0..6 {
        exporter.push_events(EVENTS / 6);
        sleep(Duration::from_millis(300)).await;
    }
    let dropped = exporter.account(Signal::Logs).dropped;
    let lost = dropped["queue_full"];
    assert!(lost > 10_000 && lost < u64::from(EVENTS), "{dropped:?}");
    // 8 MiB of records of some 300 bytes, the places included, and a batch that is tried again.
    assert!(u64::from(EVENTS) - lost < 40_000, "{dropped:?} after {:?}", begin.elapsed());
    let receiver = Receiver::start_at(&address, Inbox::default(), None).await;
    while exporter.account(Signal::Logs).items + lost < u64::from(EVENTS) {
        assert!(begin.elapsed() < Duration::from_secs(60), "not all that was kept arrived");
        sleep(Duration::from_millis(50)).await;
    }
    exporter.stop().await;
    assert_eq!(arrived(&receiver) + lost, u64::from(EVENTS));
}

/// How many log records a receiver has.
fn arrived(receiver: &Receiver) -> u64 {
    let records = |received: &Received| match &received.payload {
        Payload::Logs(request) => {
            let scopes = request.resource_logs.iter().flat_map(|of| &of.scope_logs);
            scopes.map(|scope| scope.log_records.len() as u64).sum()
        }
        Payload::Metrics(_) => 0,
    };
    receiver.inbox.all().iter().map(records).sum()
}

#[tokio::test]
async fn what_waits_for_one_receiver_goes_to_the_next_after_a_reload() {
    // One that is not there, one that does not answer, one that has no time.
    let away =
        [Answer::Status(Status::unavailable("later")), Answer::Late(Duration::from_secs(60))];
    for answer in [None].into_iter().chain(away.map(Some)) {
        let is_there = answer.is_some();
        let from = Receiver::start(answer).await;
        let to = Receiver::start([]).await;
        let [mut old, new] = [&from, &to].map(|it| target(&it.endpoint(), Protocol::Grpc));
        if !is_there {
            old.endpoint = "http://127.0.0.1:1/".parse().unwrap();
        }
        let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &old);
        exporter.push_events(3);
        if is_there {
            from.inbox.wait(1).await;
        }
        while !is_there && exporter.account(Signal::Logs).failures.is_empty() {
            sleep(Duration::from_millis(10)).await;
        }
        exporter.push_events(2);
        exporter.change(&[Signal::Logs], &new).await;
        to.inbox.wait(2).await;
        exporter.stop().await;
        assert_eq!(exporter.lost(Signal::Logs), counts([]));
        assert_eq!(arrived(&to), 5);
    }
}

#[tokio::test]
async fn what_is_cut_off_or_turned_off_is_counted() {
    let receiver = Receiver::start([Answer::Late(Duration::from_secs(60))]).await;
    let target = target(&receiver.endpoint(), Protocol::Grpc);
    let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
    exporter.push_events(3);
    receiver.inbox.wait(1).await;
    exporter.push_events(2);
    exporter.stop().await;
    // The senders are gone, and then the queue is closed.
    exporter.change(&[], &target).await;
    assert_eq!(exporter.lost(Signal::Logs), counts([("cut_off", 3), ("turned_off", 2)]));
}

#[tokio::test]
async fn what_waits_is_sent_before_logs_are_turned_off() {
    let receiver = Receiver::start([]).await;
    let target = target(&receiver.endpoint(), Protocol::Grpc);
    let mut exporter = Exporter::start(setup::view(0, Vec::new()), &[Signal::Logs], &target);
    sleep(Duration::from_millis(100)).await;
    exporter.push_events(5);
    exporter.change(&[Signal::Metrics], &target).await;
    assert_eq!(exporter.lost(Signal::Logs), counts([]));
    assert_eq!(arrived(&receiver), 5);
}
