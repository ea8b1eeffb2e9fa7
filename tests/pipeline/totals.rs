//! What happened on the host is in every store, whatever becomes of groups and of the daemon meanwhile. It is counted by
//! those that do it and by the kernel, not by the daemon.

use std::{collections::BTreeMap, fs, net::SocketAddr, thread, time::Duration};

use monitor_backends::{Starts, TOKEN};
use monitor_tests::{
    Workload,
    cgroup::Cgroup,
    daemon::program::{Daemon, clean, executable},
    network::{End, Network},
    serial,
    tcp::{client, server},
};

use crate::{
    aws::{self, METRICS},
    prometheus,
    setup::{Setup, up, wait},
};

/// One group has series of its own, the costliest at the time.
const CONFIG: &str = "interval = \"250ms\"\ngroups.top = 1";
/// Longer than a scrape interval and an export.
const SETTLED: Duration = Duration::from_secs(3);
/// Programs that are killed before the restart of the daemon, and after it.
const KILLED: u64 = 3;
/// Bytes that each request has before its content, and those of its content and of the response.
const HEAD: u64 = 8;
const ASKED: [u64; 2] = [992, 5000];

/// What was done: OOM kills, and bytes that clients sent.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Totals {
    kills: f64,
    bytes: f64,
}

fn daemon(setup: &Setup, temporality: &str) -> Daemon {
    let mut program = clean(executable());
    let collector = setup.pipeline.addresses.collector.grpc;
    program
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", format!("http://{collector}"))
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {TOKEN}"))
        .env("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", temporality)
        .env("OTEL_METRIC_EXPORT_INTERVAL", "1000");
    let daemon = Daemon::configured(program, CONFIG, []);
    daemon.wait_ready();
    daemon.wait_ticks(2);
    daemon
}

/// OOM kills of the programs of a cgroup.
fn kills(cgroup: &Cgroup) -> u64 {
    let files = ["memory.oom_control", "memory.events"].map(|file| cgroup.path().join(file));
    let text = files.iter().find_map(|file| fs::read_to_string(file).ok());
    let text = text.expect("the kernel counts them");
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
    count.unwrap_or_else(|| panic!("no oom_kill in {text}"))
}

/// Programs of different names that are killed and talk to a server. Returns the bytes that they sent.
fn work(round: u64, cgroup: &Cgroup, network: &Network, to: [&str; 2]) -> u64 {
    let path = cgroup.path().to_str().expect("plain letters");
    let mut bytes = 0;
    for number in 0..KILLED {
        Workload::start(&format!("mt-hog-{round}{number}"), ["oom", path, "32"]).ended();
        let times = 10 * (number + 1);
        let args = [times, ASKED[0], ASKED[1]].map(|it| it.to_string());
        let name = format!("mt-ask-{round}{number}");
        let client = client(&name, "tcp-ask", network, to, &args.each_ref().map(|it| &**it));
        client.done();
        client.end();
        bytes += times * (HEAD + ASKED[0]);
    }
    thread::sleep(SETTLED);
    bytes
}

/// What came to groups and services that lost their place was counted before.
fn in_prometheus(prometheus: SocketAddr, address: &str) -> Totals {
    let groups = r#"monitor_process_oom_kills_total{process_executable_name!="(evicted)"}"#;
    let service = format!(
        r#"monitor_tcp_io_bytes_total{{server_address="{address}",monitor_tcp_role="client",network_io_direction="transmit"}}"#
    );
    let growth = |selector| prometheus::growth(prometheus, selector).into_values().sum();
    Totals { kills: growth(groups), bytes: growth(&service) }
}

#[test]
fn what_happens_on_the_host_is_in_every_store() {
    measure("cumulative");
}

#[test]
fn what_happens_on_the_host_is_in_every_store_by_deltas() {
    measure("delta");
}

fn measure(temporality: &str) {
    let _serial = serial();
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "2s")]);
    let addresses = setup.pipeline.addresses;
    let _moto = up(setup.pipeline.start_moto());
    let _prometheus = up(setup.pipeline.start_prometheus_with(Starts::Used));
    let _collector = up(setup.pipeline.start_collector());
    let network = Network::new();
    let address = network.ipv4(End::Far);
    let (server, port) = server(&network, address);
    let cgroup = Cgroup::with_memory("totals", 16 << 20);

    let mut bytes = 0;
    let mut scraped = Totals { kills: 0.0, bytes: 0.0 };
    for round in 0..2 {
        let mut daemon = daemon(&setup, temporality);
        let scraper = Setup::new(&[]);
        let _scraper = up(scraper.pipeline.start_scraper(daemon.address));
        thread::sleep(SETTLED);
        bytes += work(round, &cgroup, &network, [address, &port]);
        let more = in_prometheus(scraper.pipeline.addresses.prometheus, address);
        scraped = Totals { kills: scraped.kills + more.kills, bytes: scraped.bytes + more.bytes };
        assert!(daemon.signal(libc::SIGTERM).is_some(), "it does not end");
    }
    server.end();
    let kills = kills(&cgroup);
    assert_eq!(kills, 2 * KILLED, "by the cgroup");
    let planted = Totals { kills: kills as f64, bytes: bytes as f64 };
    let by_otlp = || in_prometheus(addresses.prometheus, address);
    wait("all by OTLP", || {
        let found = by_otlp();
        (found.kills >= planted.kills && found.bytes >= planted.bytes).then_some(())
    });
    let in_cloudwatch = || -> f64 {
        let documents = aws::documents(addresses.moto, METRICS);
        documents.iter().filter_map(|it| it["monitor.process.oom_kills"].as_f64()).sum()
    };
    wait("all in CloudWatch", || (in_cloudwatch() >= planted.kills).then_some(()));
    // What comes twice comes now.
    thread::sleep(SETTLED);
    // Bytes are no headline metric.
    let in_cloudwatch = Totals { kills: in_cloudwatch(), ..planted };
    let table =
        BTreeMap::from([("scrape", scraped), ("OTLP", by_otlp()), ("CloudWatch", in_cloudwatch)]);
    println!("{temporality}: planted {planted:?}, in the stores {table:#?}");
    assert!(table.values().all(|found| *found == planted));
}
