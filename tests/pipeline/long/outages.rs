//! Two minutes without a Collector, and beside it two without Prometheus, while programs are started all the time.

use std::{thread, time::Duration};

use monitor_tests::serial;

use crate::{
    daemon,
    load::Load,
    otlp::now_ms,
    prometheus,
    served::{self, HOST, Seen},
    setup::{Setup, up, wait},
};

const OUTAGE: Duration = Duration::from_secs(120);
/// How long all is well before.
const BEFORE: Duration = Duration::from_secs(10);
/// Between two programs.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two samples of a daemon that exports each second, and ticks as often.
const GAP_MS: u64 = 3500;
/// How long a daemon may take to find a Collector again.
const RETRY_MS: u64 = 15_000;

#[test]
fn two_minutes_without_a_collector_or_without_prometheus_lose_nothing() {
    let _serial = serial();
    let setups = [Setup::new(&[]), Setup::new(&[])];
    let [first, second] = setups.each_ref().map(|setup| &setup.pipeline);
    let _stores = [first.start_prometheus(), first.start_logs(), second.start_logs()].map(up);
    let prometheus_of_second = up(second.start_prometheus());
    let collectors = [first, second].map(|pipeline| up(pipeline.start_collector()));
    let daemons = [first, second].map(|pipeline| daemon::start(pipeline.addresses.collector.grpc));
    let load = Load::start(PAUSE);
    let begin = now_ms();
    thread::sleep(BEFORE);

    let [collector_of_first, collector_of_second] = collectors;
    collector_of_first.stop().and_then(|()| prometheus_of_second.stop()).expect("they end");
    thread::sleep(OUTAGE / 2);
    // The other's Collector ends while Prometheus is away.
    let restart = now_ms();
    collector_of_second.kill().expect("it ends");
    let _collector_of_second = up(second.start_collector());
    let restarted = now_ms();
    thread::sleep(OUTAGE / 2);
    let _prometheus_of_second = up(second.start_prometheus());
    let _collector_of_first = up(first.start_collector());

    // Both go on where they are, and what was added up in the meantime is there.
    served::wait_for_samples(first.addresses.prometheus);
    let seen = Seen::look(&daemons[0]);
    let end = now_ms();
    let programs = load.stop();
    let samples = prometheus::histograms(first.addresses.prometheus, HOST);
    seen.assert_same(samples.into_values());
    served::assert_never_reset(first.addresses.prometheus);

    for (daemon, pipeline) in daemons.iter().zip([first, second]) {
        programs.wait_for(daemon, pipeline.addresses.logs);
    }
    // Prometheus has each sample of the time that it was away.
    let times = wait("the newest samples of the second", || {
        let samples = prometheus::histograms(second.addresses.prometheus, HOST);
        samples.keys().next_back().is_some_and(|time| *time > end).then_some(samples)
    });
    let times: Vec<u64> = times.into_keys().filter(|time| *time >= begin).collect();
    let gaps = times.windows(2).filter(|pair| pair[1] - pair[0] > GAP_MS);
    // But for those that no Collector took.
    let gaps: Vec<_> =
        gaps.filter(|pair| pair[1] < restart || pair[0] > restarted + RETRY_MS).collect();
    println!(
        "{} samples in {} s; restarted in {} ms",
        times.len(),
        (end - begin) / 1000,
        restarted - restart
    );
    assert!(gaps.is_empty(), "no samples for longer than {GAP_MS} ms: {gaps:?}");
    assert!(times.len() as u64 > (end - begin) / 2000, "{} samples", times.len());
}
