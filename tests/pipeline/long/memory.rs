//! Ten minutes without a Collector while more is to be told than can be kept: the daemon's memory does not
//! grow.

use std::{
    thread,
    time::{Duration, Instant},
};

use monitor_tests::{daemon::program::Daemon, proc::resident_kib, serial};

use crate::{
    daemon,
    load::{self, Load},
    served,
    setup::{Setup, up},
};

const OUTAGE: Duration = Duration::from_secs(600);
/// How long all is well before.
const BEFORE: Duration = Duration::from_secs(10);
/// Between two programs, of each of which two records of several hundred bytes are told: as many as fill the
/// queue, which has room for 8 MiB, in a minute or two.
const PAUSE: Duration = Duration::from_millis(5);
/// How long that may take.
const FILL: Duration = Duration::from_secs(240);
/// Between two looks at the daemons.
const LOOK: Duration = Duration::from_secs(1);
/// What is compared: the minute in which the queue is full first, and the last.
const MINUTE: Duration = Duration::from_secs(60);
/// How much more memory may grow than that of a daemon which sends nothing, and knows as many programs: records
/// are of other lengths than those whose place they take. What was dropped is tens of MiB.
const BOUND_KIB: i64 = 1024;

#[test]
fn memory_does_not_grow_in_ten_minutes_without_a_collector() {
    let _serial = serial();
    let setup = Setup::new(&[]);
    let addresses = setup.pipeline.addresses;
    let [_prometheus, _logs, collector] = setup.start();
    let daemon = daemon::start(addresses.collector.grpc);
    let silent = Daemon::start([]);
    let load = Load::start(PAUSE);
    thread::sleep(BEFORE);
    println!("all is well: {:?}", Look::at([&daemon, &silent]));

    collector.stop().expect("it ends");
    let begin = Instant::now();
    while load::dropped(&daemon) == 0.0 {
        assert!(begin.elapsed() < FILL, "the queue is not full after {FILL:?}");
        thread::sleep(LOOK);
    }
    println!("full after {:?}", begin.elapsed());
    let mut minutes = Vec::new();
    while begin.elapsed() < OUTAGE {
        minutes.push(Look::a_minute([&daemon, &silent]));
    }
    minutes.iter().for_each(|minute| println!("{minute:?}"));
    let (first, last) = (&minutes[0], &minutes[minutes.len() - 1]);
    assert!(minutes.is_sorted_by(|one, next| one.dropped < next.dropped), "{minutes:?}");
    let [grown, of_silent] = [0, 1].map(|it| last.resident_kib[it] - first.resident_kib[it]);
    println!("grown by {grown} KiB, that of the silent one by {of_silent} KiB");
    assert!(grown <= of_silent + BOUND_KIB);

    let _collector = up(setup.pipeline.start_collector());
    served::wait_for_samples(addresses.prometheus);
    served::assert_never_reset(addresses.prometheus);
    load.stop().wait_for(&daemon, addresses.logs);
}

/// What is seen of two daemons.
#[derive(Debug)]
struct Look {
    /// Records that the first dropped.
    dropped: f64,
    /// The memory of both.
    resident_kib: [i64; 2],
}

impl Look {
    fn at(daemons: [&Daemon; 2]) -> Self {
        // Both are asked, as that takes memory too.
        let [dropped, _] = daemons.map(load::dropped);
        Self { dropped, resident_kib: daemons.map(|daemon| resident_kib(daemon.pid()) as i64) }
    }

    /// What is seen in a minute, the memory as the median.
    fn a_minute(daemons: [&Daemon; 2]) -> Self {
        let begin = Instant::now();
        let mut looks = Vec::new();
        while begin.elapsed() < MINUTE {
            thread::sleep(LOOK);
            looks.push(Self::at(daemons));
        }
        let resident_kib = [0, 1].map(|daemon| {
            let mut sizes: Vec<_> = looks.iter().map(|look| look.resident_kib[daemon]).collect();
            sizes.sort_unstable();
            sizes[sizes.len() / 2]
        });
        Self { dropped: looks[looks.len() - 1].dropped, resident_kib }
    }
}
