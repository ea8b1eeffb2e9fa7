//! Programs that are started all the time, and that they arrive in the log store.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use monitor_tests::daemon::{program::Daemon, scrape::Scrape};

use super::{logs, setup::wait};

/// What programs are told apart by.
const MARK: &str = "mt-mark-";

/// Starts programs, each with an argument of its own, until it is told to stop.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Programs>,
}

impl Load {
    /// With a pause between two of them.
    pub(crate) fn start(pause: Duration) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = stop.clone();
        let thread = thread::spawn(move || {
            let mut marks = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let mark = format!("{MARK}{:06}", marks.len());
                assert!(Command::new("true").arg(&mark).status().expect("it is there").success());
                marks.insert(mark);
                thread::sleep(pause);
            }
            Programs(marks)
        });
        Self { stop, thread }
    }

    /// Says which programs it has started.
    pub(crate) fn stop(self) -> Programs {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("nothing fails")
    }
}

/// What the programs were told, in the order in which they were started.
pub(crate) struct Programs(BTreeSet<String>);

impl Programs {
    /// Waits until all of them are in the log store, but for as many as the daemon says it dropped. Of records
    /// that wait the oldest go first: those that are missing were started one after the other, and
    /// not last.
    pub(crate) fn wait_for(&self, daemon: &Daemon, logs: SocketAddr) {
        let Self(marks) = self;
        let dropped = dropped(daemon);
        const ARGS: &str = "process.command_args";
        let query = format!(r#""event.name":=process.exec "{ARGS}":~{MARK:?} | fields "{ARGS}""#);
        let missing = wait("every program in the log store", || {
            let records = logs::query(logs, &query);
            let number = |record| logs::text(record, ARGS).split_once(MARK)?.1.get(..6);
            let numbers = records.iter().filter_map(number);
            let arrived: BTreeSet<_> = numbers.map(|number| format!("{MARK}{number}")).collect();
            let missing: BTreeSet<_> = marks.difference(&arrived).cloned().collect();
            let is_rest = is_run(marks, &missing) && arrived.last() == marks.last();
            (missing.len() as f64 <= dropped && is_rest).then_some(missing)
        });
        println!("{} programs, {} missing, {dropped} records dropped", marks.len(), missing.len());
    }
}

/// Log records that the daemon says it dropped.
pub(crate) fn dropped(daemon: &Daemon) -> f64 {
    let dropped = Scrape::text(daemon)
        .values("monitor_agent_export_dropped_total", &[("monitor_signal", "logs")]);
    dropped.iter().sum()
}

/// Whether between any two of some members are no others.
fn is_run(all: &BTreeSet<String>, some: &BTreeSet<String>) -> bool {
    let place = |member| all.iter().position(|other| Some(other) == member);
    let ends = place(some.first()).zip(place(some.last()));
    ends.is_none_or(|(first, last)| last - first + 1 == some.len())
}
