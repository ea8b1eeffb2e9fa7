//! The host's run-queue latency: that Prometheus has what the daemon serves of it, and goes on where it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    thread,
    time::Duration,
};

use monitor_tests::daemon::{
    program::Daemon,
    scrape::{Buckets, Scrape},
};

use super::{
    otlp::now_ms,
    prometheus::{self, Native},
    setup::wait,
};

/// The histogram.
pub(crate) const HOST: &str = "monitor_sched_runqueue_latency_seconds";
/// How many ticks have to be the same.
const TICKS: usize = 3;

/// What the daemon served in some seconds, by its count: scale, sum and buckets.
#[derive(Default)]
pub(crate) struct Seen(BTreeMap<u64, (i32, f64, Buckets)>);

impl Seen {
    /// Looks for eight seconds or more.
    pub(crate) fn look(daemon: &Daemon) -> Self {
        let mut seen = Self::default();
        // Each tick is seen several times.
        for _ in 0..40 {
            seen.add(&Scrape::protobuf(daemon));
            thread::sleep(Duration::from_millis(200));
        }
        seen
    }

    fn add(&mut self, scrape: &Scrape) {
        let mut native = scrape.native.iter();
        let Some(((_, labels), (schema, buckets))) = native.find(|((name, _), _)| name == HOST)
        else {
            return;
        };
        let sum = scrape.series[&(format!("{HOST}_sum"), labels.clone())];
        // Those that are empty are not told.
        let buckets = buckets.iter().filter(|(_, count)| **count > 0);
        let buckets: Buckets = buckets.map(|(number, count)| (*number, *count)).collect();
        self.0.insert(buckets.values().sum(), (*schema, sum, buckets));
    }

    /// Fails unless the samples that are of ticks which were seen are what the daemon served then.
    pub(crate) fn assert_same(&self, samples: impl IntoIterator<Item = Native>) {
        let mut same = BTreeSet::new();
        for sample in samples {
            let Some((schema, sum, buckets)) = self.0.get(&sample.count) else { continue };
            assert_eq!(sample.sum, *sum, "sum");
            assert_eq!(&sample.numbered(*schema), buckets, "buckets");
            same.insert(sample.count);
        }
        println!("{} of {} ticks seen are in Prometheus", same.len(), self.0.len());
        assert!(same.len() >= TICKS, "{same:?}, of {:?}", self.0.keys());
    }
}

/// Waits until Prometheus has a sample of the host of just now.
pub(crate) fn wait_for_samples(prometheus: SocketAddr) {
    wait("metrics after the outage", || {
        let since = now_ms() - 2000;
        let samples = prometheus::histograms(prometheus, HOST);
        samples.keys().next_back().is_some_and(|time| *time > since).then_some(())
    });
}

/// Fails unless what is counted of the host went on where it was.
pub(crate) fn assert_never_reset(prometheus: SocketAddr) {
    let resets = prometheus::query(prometheus, &format!("resets({HOST}[1h])"));
    assert_eq!(resets[0]["value"][1], "0");
}
