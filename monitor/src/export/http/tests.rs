use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
};

use serde_json::Value;
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

use super::{super::testing, *};
use crate::{
    config::{AuthConfig, TlsConfig},
    host::scratch::Scratch,
    metric::{AGENT_TICK_DURATION, PROCESS_CPU_TIME},
    resource::resource,
    sample,
    view::{ProbeState, ProbeStatus},
};

/// A server on a port of its own.
struct Server {
    runtime: Runtime,
    address: SocketAddr,
    views: watch::Sender<Arc<View>>,
    renderings: Arc<Semaphore>,
    aborted: Arc<Aborted>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Server {
    fn start(view: View) -> Self {
        Self::secured(view, Security::default())
    }

    fn secured(view: View, security: Security) -> Self {
        let runtime = Runtime::new().unwrap();
        let (sender, views) = testing::publish(view);
        let state = State::new(
            Prometheus::new(views.clone(), watch::channel(resource(Vec::new())).1).unwrap(),
            views,
            watch::channel(Arc::new(security)).1,
            Arc::default(),
            Arc::default(),
            Arc::default(),
        );
        let (renderings, aborted) = (state.renderings.clone(), state.aborted.clone());
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let served = runtime.spawn(serve(listener, state, async { drop(stopped.await) }));
        Self { runtime, address, views: sender, renderings, aborted, stop, served }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream
    }

    /// Sends a request as it is.
    fn ask(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { code, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
    }

    /// The connections that were closed before their end, by reasons of which there were some.
    fn aborted(&self) -> Vec<(String, f64)> {
        let mut counts = Vec::new();
        self.aborted.collect(&mut |sample| {
            let reason = sample.attributes.iter().next().map(|(_, reason)| reason.to_owned());
            if let sample::Value::Total(count) = sample.value
                && count > 0.0
            {
                counts.push((reason.unwrap(), count));
            }
        });
        counts.sort_by(|a, b| a.0.cmp(&b.0));
        counts
    }

    /// Stops the server, and says how long that took.
    fn stop(self) -> Duration {
        let begin = Instant::now();
        self.stop.send(()).unwrap();
        self.runtime.block_on(self.served).unwrap();
        begin.elapsed()
    }
}

struct Answer {
    code: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        assert!(self.head.contains("content-type: application/json"), "{}", self.head);
        serde_json::from_str(&self.body).unwrap()
    }
}

fn probe(state: ProbeState) -> ProbeStatus {
    ProbeStatus { probe: "sched", state, reason: None, hooks: Vec::new() }
}

#[test]
fn metrics_come_in_the_form_asked_for() {
    let server =
        Server::start(testing::view(vec![testing::number(&AGENT_TICK_DURATION, &[], 0.25)]));
    let text = server.get("/metrics");
    assert_eq!(text.code, 200);
    assert!(text.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
    assert!(text.head.contains("connection: close"));
    assert!(text.body.contains("\nmonitor_agent_tick_duration_seconds 0.25\n"), "{}", text.body);

    let protobuf = server.ask(
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;q=0.5\r\n\
         Accept: application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
         encoding=delimited\r\n\r\n",
    );
    assert!(protobuf.head.contains("content-type: application/vnd.google.protobuf"));
    assert!(protobuf.body.contains("monitor_agent_tick_duration_seconds"));

    let head = server.ask("HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!((head.code, head.body.as_str()), (200, ""));
}

#[test]
fn clients_that_leave_do_not_keep_others_out() {
    let series: Vec<_> = (0..5000)
        .map(|i| {
            let attributes = [("process.executable.name", format!("process-{i}"))];
            let attributes = attributes.each_ref().map(|(name, value)| (*name, value.as_str()));
            testing::number(&PROCESS_CPU_TIME, &attributes, 1.0)
        })
        .collect();
    let server = Server::start(testing::view(series));
    for _ in 0..300 {
        let mut stream = server.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    }
    assert_eq!(server.get("/metrics").code, 200);
    // All that was begun for those who left comes to its end.
    let all = server.renderings.acquire_many(MAX_RENDERINGS as u32);
    assert!(server.runtime.block_on(async { time::timeout(DEADLINE, all).await }).is_ok());
}

#[test]
fn who_has_to_wait_too_long_for_metrics_is_told() {
    let server = Server::start(testing::view(Vec::new()));
    let held = server.renderings.clone().try_acquire_many_owned(MAX_RENDERINGS as u32).unwrap();
    let answer = server.get("/metrics");
    assert_eq!(answer.code, 503);
    assert!(answer.json()["error"].as_str().unwrap().contains("again later"));
    assert_eq!(server.get("/ready").code, 200);
    drop(held);
    assert_eq!(server.get("/metrics").code, 200);
}

#[test]
fn ready_once_there_was_a_tick() {
    let server = Server::start(View { tick: 0, ..testing::view(Vec::new()) });
    assert_eq!(server.get("/ready").code, 503);
    server.views.send(Arc::new(testing::view(Vec::new()))).unwrap();
    assert_eq!(server.get("/ready").code, 200);
}

#[test]
fn health_says_what_does_not_work() {
    let with = |probes: Vec<ProbeStatus>, problems: &[&str]| View {
        probes,
        problems: problems.iter().map(|&problem| problem.to_owned()).collect(),
        ..testing::view(Vec::new())
    };
    let server = Server::start(with(Vec::new(), &[]));
    for (view, status) in [
        (with(vec![probe(ProbeState::Active), probe(ProbeState::Disabled)], &[]), "ok"),
        (with(vec![probe(ProbeState::Degraded)], &[]), "degraded"),
        (with(vec![probe(ProbeState::Failed)], &[]), "degraded"),
        (with(Vec::new(), &["the host's /proc cannot be read"]), "degraded"),
    ] {
        let problems = view.problems.clone();
        server.views.send(Arc::new(view)).unwrap();
        let answer = server.get("/health");
        let health = answer.json();
        assert_eq!(answer.code, 200);
        assert_eq!(health["status"], status);
        assert_eq!(health["problems"], Value::from(problems));
        assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
        assert!(health["uptime_seconds"].is_f64() && health["tick_age_seconds"].is_f64());
    }
}

#[test]
fn health_fails_when_ticks_stay_out() {
    let aged = |seconds| {
        let instant = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
        View { instant, ..testing::view(Vec::new()) }
    };
    let server = Server::start(aged(8));
    assert_eq!(server.get("/health").code, 200);
    server.views.send(Arc::new(aged(11))).unwrap();
    let answer = server.get("/health");
    assert_eq!(answer.code, 503);
    assert_eq!(answer.json()["status"], "stuck");
}

#[test]
fn the_busiest_processes_are_listed() {
    let processes = (1..=60).map(testing::process).collect();
    let server = Server::start(View { processes, ..testing::view(Vec::new()) });
    for (query, expected) in [("", 50), ("?limit=2", 2), ("?limit=0", 0), ("?limit=1000", 60)] {
        let answer = server.get(&format!("/api/v1/processes{query}")).json();
        let rows = answer["processes"].as_array().unwrap();
        assert_eq!(rows.len(), expected);
        assert!(rows.iter().zip(1..).all(|(row, pid)| row["pid"] == pid));
        assert_eq!(answer["total"], 60);
        assert_eq!(answer["interval_seconds"], 1.0);
        assert!(answer["time"].as_f64().unwrap() > 1.7e9);
    }
    for query in ["limit=many", "limit=-1", "limit=", "limit=1&limit=2", "limits=5", "limit=1e3"] {
        let answer = server.get(&format!("/api/v1/processes?{query}"));
        assert_eq!(answer.code, 400, "{query}");
        let error = answer.json()["error"].as_str().unwrap().to_owned();
        assert!(error.contains("limit") && error.contains("?limit=50"), "{error}");
    }
}

#[test]
fn the_live_page_needs_nothing_from_elsewhere() {
    let answer = Server::start(testing::view(Vec::new())).get("/");
    assert_eq!(answer.code, 200);
    assert!(answer.head.contains("content-type: text/html"));
    assert!(answer.head.contains("content-security-policy: default-src 'none'"));
    assert!(!answer.body.contains("http:") && !answer.body.contains("https:"));
    // Names of processes are anybody's choice: they must never be read as HTML.
    assert!(!answer.body.contains("innerHTML"));
}

#[test]
fn other_requests_are_refused() {
    let server = Server::start(testing::view(Vec::new()));
    let missing = server.get("/metric");
    assert_eq!(missing.code, 404);
    assert!(missing.json()["error"].as_str().unwrap().contains("/metrics"));
    let post = server.ask("POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(post.code, 405);
    assert!(post.head.contains("allow: get,head"), "{}", post.head);
    assert_eq!(server.ask("what?\r\n\r\n").code, 400);
    let long = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(MAX_HEAD));
    assert_eq!(server.ask(&long).code, 431);
}

#[test]
fn clients_that_say_nothing_do_not_keep_others_out() {
    let server = Server::start(testing::view(Vec::new()));
    let silent: Vec<_> = (1..MAX_CONNECTIONS).map(|_| server.connect()).collect();
    assert_eq!(server.get("/ready").code, 200);
    drop(silent);
}

/// A response that no buffer takes whole.
fn large() -> View {
    let long = "x".repeat(4000);
    let series = (0..2500).map(|number| {
        let name = format!("{number}-{long}");
        testing::number(&PROCESS_CPU_TIME, &[("process.executable.name", &name)], 1.0)
    });
    testing::view(series.collect())
}

#[test]
fn a_response_that_is_read_slowly_is_sent_whole_within_the_scrapers_timeout() {
    let server = Server::start(large());
    let scrape = |timeout: &str| {
        let mut stream = server.connect();
        let header = "X-Prometheus-Scrape-Timeout-Seconds";
        let request = format!("GET /metrics HTTP/1.1\r\nHost: here\r\n{header}: {timeout}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    let mut patient = scrape("60");
    let mut impatient = scrape("11");
    thread::sleep(DEADLINE + Duration::from_secs(3));
    let mut whole = Vec::new();
    patient.read_to_end(&mut whole).unwrap();
    let whole = String::from_utf8(whole).unwrap();
    let (head, body) = whole.split_once("\r\n\r\n").unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    assert_eq!(body.len(), length.parse::<usize>().unwrap());
    // What was cut off has less, or ends in an error.
    let mut part = Vec::new();
    let _ = impatient.read_to_end(&mut part);
    assert!(part.len() < body.len(), "{} of {}", part.len(), body.len());
    assert_eq!(server.aborted(), [("limit".to_owned(), 1.0)]);
}

#[test]
fn a_peer_has_few_connections_that_are_read_slowly() {
    let server = Server::start(large());
    let slow: Vec<_> = (0..6)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n").unwrap();
            // The next one waits for no turn to be rendered.
            stream.read_exact(&mut [0]).unwrap();
            stream
        })
        .collect();
    let silent = server.connect();
    thread::sleep(DEADLINE + Duration::from_secs(3));
    assert_eq!(server.aborted(), [("slots".to_owned(), 2.0), ("timeout".to_owned(), 1.0)]);
    assert_eq!(server.get("/ready").code, 200);
    drop((slow, silent));
}

#[test]
fn a_shutdown_takes_less_than_a_second_whatever_is_open() {
    let server = Server::start(testing::view(Vec::new()));
    let mut silent = server.connect();
    let mut half = server.connect();
    half.write_all(b"GET /metrics HTTP/1.1\r\nHost:").unwrap();
    // An answer shows that the connections before it were accepted.
    assert_eq!(server.get("/ready").code, 200);
    let address = server.address;
    let took = server.stop();
    assert!(took < Duration::from_secs(1), "{took:?}");
    for stream in [&mut silent, &mut half] {
        match stream.read(&mut [0; 64]) {
            Ok(read) => assert_eq!(read, 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_shutdown_with_nothing_to_answer_is_at_once() {
    let server = Server::start(testing::view(Vec::new()));
    assert_eq!(server.get("/ready").code, 200);
    assert!(server.stop() < GRACE);
}

#[test]
fn who_has_no_secret_gets_nothing_but_that_the_daemon_is_ready() {
    let scratch = Scratch::new("http-auth");
    scratch.write("tokens", "# of Prometheus\nsecret\n");
    scratch.write("users", "eve:open sesame\n");
    let auth =
        AuthConfig { tokens: Some(scratch.path("tokens")), users: Some(scratch.path("users")) };
    let security = Security::read(&TlsConfig::default(), &auth).unwrap();
    assert!(!format!("{security:?}").contains("secret"));
    let server = Server::secured(testing::view(Vec::new()), security);
    let ask = |path: &str, header: &str| {
        server.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"))
    };
    for path in ["/", "/metrics", "/health", "/api/v1/processes", "/nothing", "//ready", "/ready/"]
    {
        for header in ["", "Authorization: Bearer secre\r\n", "Authorization: Basic secret\r\n"] {
            let answer = ask(path, header);
            assert_eq!(answer.code, 401, "{path} with {header:?}");
            for challenge in ["basic realm=", "bearer realm="] {
                assert!(answer.head.contains(&format!("www-authenticate: {challenge}")));
            }
        }
    }
    assert_eq!(ask("/ready", "").code, 200);
    let user = "Authorization: Basic ZXZlOm9wZW4gc2VzYW1l\r\n";
    for header in ["Authorization: Bearer secret\r\n", user] {
        assert_eq!(ask("/metrics", header).code, 200);
        assert_eq!(ask("/nothing", header).code, 404);
    }
    assert_eq!(authorization(&auth).unwrap().as_deref(), Some("Bearer secret"));
}

#[test]
fn files_that_let_nobody_in_are_errors_with_their_keys() {
    let scratch = Scratch::new("http-files");
    let error =
        |tls: TlsConfig, auth: AuthConfig| Security::read(&tls, &auth).unwrap_err().to_string();
    let file = |name: &str, text: &str| {
        scratch.write(name, text);
        Some(scratch.path(name))
    };
    let tokens = |tokens| AuthConfig { tokens, users: None };
    let message = error(TlsConfig::default(), tokens(Some("/nonexistent".into())));
    assert!(message.starts_with("cannot read auth.tokens = \"/nonexistent\": No such file"));
    let message = error(TlsConfig::default(), tokens(file("empty", "# nothing\n\n")));
    assert!(message.ends_with("has no token, one a line"), "{message}");
    let users = AuthConfig { tokens: None, users: file("users", "eve\n") };
    assert!(error(TlsConfig::default(), users).ends_with("has no user:password in each line"));
    let tls = |certificate, key| TlsConfig { certificate, key };
    let garbage = file("garbage.pem", "garbage\n");
    let message = error(tls(garbage.clone(), garbage), AuthConfig::default());
    assert!(message.ends_with("has no certificate in PEM form"), "{message}");
}
