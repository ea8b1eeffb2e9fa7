//! Stores that are away, and a Collector that ends meanwhile: nothing is lost.

use std::{collections::BTreeSet, net::SocketAddr, thread, time::Duration};

use serde_json::Value;

use crate::{
    aws::{self, LOGS},
    logs,
    otlp::{self, ERROR, millis, now_ns},
    prometheus,
    setup::{Setup, up, wait},
};

/// How often is sent in each phase.
const TIMES: u64 = 50;
/// Time between.
const PAUSE: Duration = Duration::from_millis(40);

/// Sends a sample and a record several times, and returns when.
fn send(collector: SocketAddr, start_ns: u64) -> Vec<u64> {
    let send = |_| {
        let time_ns = now_ns();
        let value = time_ns - start_ns;
        let counter =
            otlp::counter("monitor.agent.lost", "{event}", (start_ns, time_ns), &[(&[], value)]);
        otlp::send_metrics(collector, &[counter]);
        otlp::send_logs(
            collector,
            &[otlp::event("process.exit", ERROR, time_ns, &time_ns.to_string(), &[])],
        );
        thread::sleep(PAUSE);
        time_ns
    };
    (0..TIMES).map(send).collect()
}

#[test]
fn what_is_queued_outlives_stores_and_the_collector() {
    let setup = Setup::new(&[]);
    let pipeline = &setup.pipeline;
    let collector_address = pipeline.addresses.collector.http;
    let [prometheus, logs, moto, collector] = up(pipeline.start());
    let start_ns = now_ns();
    let mut sent = send(collector_address, start_ns);

    // The stores go, one at once and one asked to: VictoriaLogs has on disk what it took some seconds ago.
    prometheus.kill().and_then(|()| logs.stop()).and_then(|()| moto.stop()).expect("they end");
    sent.extend(send(collector_address, start_ns));
    // So does the Collector: once while it tries to send, and once more as it is asked to.
    collector.kill().expect("it ends");
    let collector = up(pipeline.start_collector());
    sent.extend(send(collector_address, start_ns));
    collector.stop().expect("it ends");
    let _collector = up(pipeline.start_collector());
    sent.extend(send(collector_address, start_ns));

    let _stores =
        [pipeline.start_prometheus(), pipeline.start_logs(), pipeline.start_moto()].map(up);
    sent.extend(send(collector_address, start_ns));
    everything_is_in_prometheus(pipeline.addresses.prometheus, start_ns, &sent);
    let sent: BTreeSet<String> = sent.iter().map(u64::to_string).collect();
    wait("every record in the log store", || {
        let records = logs::find(pipeline.addresses.logs, &[]);
        let body = |record: &Value| logs::text(record, "_msg").to_owned();
        let arrived: BTreeSet<String> = records.iter().map(body).collect();
        (arrived == sent).then_some(())
    });
    // What was sent before moto ended went with it: it keeps nothing.
    let since: BTreeSet<_> = sent.into_iter().skip(TIMES as usize).collect();
    wait("every record in CloudWatch", || {
        let documents = aws::documents(pipeline.addresses.moto, LOGS);
        let body = |document: &Value| document["body"].as_str().map(str::to_owned);
        let arrived: BTreeSet<String> = documents.iter().filter_map(body).collect();
        arrived.is_superset(&since).then_some(())
    });
}

/// Every sample is there, with its value.
fn everything_is_in_prometheus(prometheus: SocketAddr, start_ns: u64, sent: &[u64]) {
    let samples = wait("every sample in Prometheus", || {
        let samples = prometheus::numbers(prometheus, "monitor_agent_lost_total");
        (samples.len() == sent.len()).then_some(samples)
    });
    for time_ns in sent {
        assert_eq!(samples.get(&millis(*time_ns)), Some(&((time_ns - start_ns) as f64)));
    }
}
