//! A pipeline of a test.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use monitor_backends::{Addresses, Pipeline, Service};

/// How long it may take until what was sent has arrived: after an outage the Collector waits up to 45 s before it tries
/// again.
const LIMIT: Duration = Duration::from_secs(120);
/// How often is looked.
const POLL: Duration = Duration::from_millis(200);

/// A pipeline on ports and in a folder of its own, which is removed in the end.
pub(crate) struct Setup {
    pub(crate) pipeline: Pipeline,
    folder: PathBuf,
}

impl Setup {
    /// One whose Collector has these variables.
    pub(crate) fn new(variables: &[(&'static str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("monitor-tests-{}-pipeline-{number}", process::id());
        let folder = env::temp_dir().join(name);
        let pipeline = Addresses::free().and_then(|addresses| Pipeline::new(&folder, addresses));
        let mut pipeline = up(pipeline);
        for (name, value) in variables {
            pipeline.collector = pipeline.collector.with(name, *value);
        }
        Self { pipeline, folder }
    }

    /// Where it keeps everything.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts all but what plays AWS.
    pub(crate) fn start(&self) -> [Service; 3] {
        let pipeline = &self.pipeline;
        [pipeline.start_prometheus(), pipeline.start_logs(), pipeline.start_collector()].map(up)
    }
}

impl Drop for Setup {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What was started.
pub(crate) fn up<T, E: fmt::Display>(started: Result<T, E>) -> T {
    started.unwrap_or_else(|error| panic!("{error:#}"))
}

/// Waits until something is there.
pub(crate) fn wait<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "{what} does not arrive");
        thread::sleep(POLL);
    }
}
