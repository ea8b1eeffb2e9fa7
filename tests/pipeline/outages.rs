//! Two minutes without a Collector, and beside it two without Prometheus, while programs are started all the time.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use monitor_tests::{
    daemon::{program::Daemon, scrape::Scrape},
    serial,
};

use super::{
    daemon::{self, Seen},
    loki, prometheus,
    setup::{Setup, up, wait},
};

const OUTAGE: Duration = Duration::from_secs(120);
/// How long all is well before.
const BEFORE: Duration = Duration::from_secs(10);
/// Between two programs.
const PAUSE: Duration = Duration::from_millis(200);
/// What programs are told apart by.
const MARK: &str = "mt-mark-";
/// Between two samples of a daemon that exports each second, and ticks as often.
const GAP_MS: u64 = 3500;
/// How long a daemon may take to find a Collector again.
const RETRY_MS: u64 = 15_000;

/// Starts programs, each with an argument of its own, until it is told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<String>>,
}

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let thread = thread::spawn(move || {
            let mut marks = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let mark = format!("{MARK}{:06}", marks.len());
                assert!(Command::new("true").arg(&mark).status().expect("it is there").success());
                marks.insert(mark);
                thread::sleep(PAUSE);
            }
            marks
        });
        Self { stop, thread }
    }

    /// What the programs were told.
    fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("nothing fails")
    }
}

fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
    now.as_millis().try_into().expect("it is before 584 million")
}

/// Every program that was started is in Loki, but for as many as the daemon says it dropped.
fn all_arrived(daemon: &Daemon, loki: SocketAddr, marks: &BTreeSet<String>) {
    let dropped = Scrape::text(daemon)
        .values("monitor_agent_export_dropped_total", &[("monitor_signal", "logs")]);
    let dropped: f64 = dropped.iter().sum();
    let query = format!(
        r#"{{service_name="monitor"}} | event_name="process.exec" | process_command_args=~".*{MARK}.*""#
    );
    let missing = wait("every program in Loki", || {
        let records = loki::query(loki, &query);
        let words =
            records.iter().map(|record| record.attributes["process_command_args"].to_string());
        let arrived: BTreeSet<String> = words
            .filter_map(|words| Some(words.split_once(MARK)?.1.chars().take(6).collect::<String>()))
            .map(|number| format!("{MARK}{number}"))
            .collect();
        let missing: Vec<_> = marks.difference(&arrived).cloned().collect();
        (missing.len() as f64 <= dropped).then_some(missing)
    });
    println!("{} programs, {} missing, {dropped} records dropped", marks.len(), missing.len());
}

#[test]
fn two_minutes_without_a_collector_or_without_prometheus_lose_nothing() {
    let _serial = serial();
    let setups = [Setup::new(&[]), Setup::new(&[])];
    let [first, second] = setups.each_ref().map(|setup| &setup.pipeline);
    let _stores = [first.start_prometheus(), first.start_loki(), second.start_loki()].map(up);
    let prometheus_of_second = up(second.start_prometheus());
    let collectors = [first, second].map(|pipeline| up(pipeline.start_collector()));
    let daemons = [first, second].map(|pipeline| daemon::start(pipeline.addresses.collector.grpc));
    let load = Load::start();
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
    wait("metrics after the outage", || {
        let since = now_ms() - 2000;
        let samples = prometheus::histograms(first.addresses.prometheus, daemon::HOST);
        samples.keys().next_back().is_some_and(|time| *time > since).then_some(())
    });
    let mut seen = Seen::default();
    seen.look(&daemons[0]);
    let end = now_ms();
    let marks = load.stop();
    let samples = prometheus::histograms(first.addresses.prometheus, daemon::HOST);
    daemon::assert_same(&samples.into_values().collect::<Vec<_>>(), &seen.host, "the host");
    let resets = format!("resets({}[10m])", daemon::HOST);
    assert_eq!(prometheus::query(first.addresses.prometheus, &resets)[0]["value"][1], "0");

    for (daemon, pipeline) in daemons.iter().zip([first, second]) {
        all_arrived(daemon, pipeline.addresses.loki, &marks);
    }
    // Prometheus has each sample of the time that it was away.
    let times = wait("the newest samples of the second", || {
        let samples = prometheus::histograms(second.addresses.prometheus, daemon::HOST);
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
