//! What would stop the ways to CloudWatch, or be lost on them.

use serde_json::Value;

use super::{
    aws::{self, METRICS},
    otlp::{self, Histogram, now_ns},
    setup::{Setup, up, wait},
};

/// Disks of a host: their histograms together are 5 MB, more than gRPC takes as one message.
const DISKS: usize = 5500;
/// As many as are sent at once.
const REQUEST: usize = 1100;
/// As many buckets as fit into a document.
const BUCKETS: usize = 90;
/// A count of nine bytes.
const COUNT: u64 = 1 << 56;

#[test]
fn an_interval_larger_than_a_message_arrives() {
    const NAME: &str = "monitor.block.device.latency";
    let setup = Setup::new(&[("CLOUDWATCH_INTERVAL", "10s")]);
    let pipeline = &setup.pipeline;
    let _moto = up(pipeline.start_moto());
    let _collector = up(pipeline.start_collector());
    let start_ns = now_ns();
    let buckets = vec![COUNT; BUCKETS];
    let made = Histogram { scale: 3, zeros: 0, offset: -160, buckets, sum: 1.0 };
    let names: Vec<String> = (0..DISKS).map(|number| format!("disk{number}")).collect();
    for names in names.chunks(REQUEST) {
        let metric = |name: &String| {
            let times = (start_ns, start_ns + 1_000_000_000);
            otlp::histogram(NAME, &[("system.device", name)], times, &made)
        };
        let metrics: Vec<Value> = names.iter().map(metric).collect();
        otlp::send_metrics(pipeline.addresses.collector.http, &metrics);
    }
    wait("every disk in CloudWatch", || {
        let documents = aws::documents(pipeline.addresses.moto, METRICS);
        let sums = documents.iter().filter_map(|document| document[NAME]["Sum"].as_f64());
        (sums.sum::<f64>() >= DISKS as f64).then_some(())
    });
}
