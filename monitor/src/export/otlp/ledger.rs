//! What was sent, what was not and why: for logs, metrics and `/health`.

use std::{
    collections::BTreeMap,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;

use super::client::Failure;
use crate::{
    config::{Signal, Target},
    metric::{
        EXPORT_DROPPED, EXPORT_DURATION, EXPORT_FAILURES, EXPORT_ITEMS, EXPORT_REQUESTS,
        EXPORT_RESENT, EXPORT_SIZE,
    },
    sample::{Attributes, Owner, Sample, Value},
};

/// What became of requests and items, for each signal that is sent or was.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<BTreeMap<Signal, Account>>);

/// The counts of one signal.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Where it is sent; nowhere any more if that is empty.
    endpoint: String,
    /// Why it is not sent, though it is to be.
    refused: Option<String>,
    /// Requests that were sent.
    pub requests: u64,
    /// Items that the receiver took.
    pub items: u64,
    /// Items of requests that were sent again though the receiver may have taken them.
    pub resent: u64,
    /// Bytes of requests before compression.
    pub size_bytes: u64,
    /// How long the last request took.
    pub duration: Duration,
    /// Requests that failed, by the kind of failure.
    pub failures: BTreeMap<String, u64>,
    /// Dropped items by reason.
    pub dropped: BTreeMap<String, u64>,
    /// When the receiver last took a request.
    last_success: Option<SystemTime>,
    /// What does not work at present, by the kind of failure.
    problems: BTreeMap<String, Problem>,
}

/// Something that does not work.
#[derive(Clone, Debug)]
struct Problem {
    reason: String,
    /// Whether it outlasts the next [`Ledger::settle`]: what was lost in one round of requests is a
    /// problem until the end of one in which nothing was, what only had to be sent again is not.
    outlasts: bool,
}

/// How the export of a signal does.
#[derive(Debug, PartialEq, Serialize)]
pub struct ExportStatus {
    /// What is sent.
    pub signal: Signal,
    /// Where to; nowhere if that cannot be told.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub endpoint: String,
    /// Whether it works.
    pub state: ExportState,
    /// When the receiver last took a request, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_success: Option<f64>,
    /// Dropped items.
    pub dropped: u64,
    /// What does not work.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// Whether an export works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportState {
    /// Nothing was sent yet.
    Starting,
    /// All that was sent was taken.
    Active,
    /// Something was not, or cannot be.
    Failing,
}

impl Ledger {
    /// The counts of each signal.
    pub fn accounts(&self) -> BTreeMap<Signal, Account> {
        self.lock().clone()
    }

    /// How each export does.
    pub fn statuses(&self) -> Vec<ExportStatus> {
        let accounts = self.lock();
        let sent = accounts
            .iter()
            .filter(|(_, account)| !account.endpoint.is_empty() || account.refused.is_some());
        sent.map(|(signal, account)| account.status(*signal)).collect()
    }

    /// Tells all that was counted.
    pub fn collect(&self, sink: &mut dyn FnMut(Sample<'_>)) {
        for (signal, account) in self.lock().iter() {
            let signal = ("monitor.signal", signal.name());
            let mut emit = |metric, more: Option<(&'static str, &str)>, value| {
                let attributes = &Attributes::new([signal].into_iter().chain(more));
                sink(Sample { metric, owner: Owner::Host, attributes, value });
            };
            let total = |value: u64| Value::Total(value as f64);
            emit(&EXPORT_REQUESTS, None, total(account.requests));
            emit(&EXPORT_ITEMS, None, total(account.items));
            emit(&EXPORT_RESENT, None, total(account.resent));
            emit(&EXPORT_SIZE, None, total(account.size_bytes));
            emit(&EXPORT_DURATION, None, Value::Gauge(account.duration.as_secs_f64()));
            for (kind, count) in &account.failures {
                emit(&EXPORT_FAILURES, Some(("error.type", kind)), total(*count));
            }
            for (reason, count) in &account.dropped {
                emit(&EXPORT_DROPPED, Some(("monitor.loss.reason", reason)), total(*count));
            }
        }
    }

    /// Notes where a signal is sent from now on, if anywhere.
    pub(super) fn open(&self, signal: Signal, target: Option<&Target>) {
        let mut accounts = self.lock();
        if target.is_some() || accounts.contains_key(&signal) {
            let account = accounts.entry(signal).or_default();
            account.endpoint = target.map(Target::shown).unwrap_or_default();
            account.refused = None;
            account.problems.clear();
            account.last_success = None;
            // What may be lost at any time, so that none is told from unknown.
            let reasons = match signal {
                Signal::Metrics => &["rejected"][..],
                Signal::Logs => &["queue_full", "rejected"],
            };
            for reason in reasons {
                account.dropped.entry((*reason).to_owned()).or_default();
            }
        }
    }

    /// Notes that a signal is not sent, though it is to be.
    pub(super) fn refuse(&self, signal: Signal, reason: &str) {
        self.open(signal, None);
        self.lock().entry(signal).or_default().refused = Some(reason.to_owned());
    }

    /// Notes that a request was taken, with so many of its items.
    pub(super) fn taken(&self, signal: Signal, items: u64, size_bytes: usize, took: Duration) {
        let mut accounts = self.lock();
        let account = accounts.entry(signal).or_default();
        account.sent(size_bytes, took);
        account.items += items;
        account.last_success = Some(SystemTime::now());
    }

    /// Notes that a request is sent again that the receiver may have taken.
    pub(super) fn resent(&self, signal: Signal, items: u64) {
        self.lock().entry(signal).or_default().resent += items;
    }

    /// Notes that a request failed, and logs it if that is news.
    pub(super) fn failed(
        &self,
        signal: Signal,
        failure: &Failure,
        size_bytes: usize,
        took: Duration,
    ) {
        let endpoint = {
            let mut accounts = self.lock();
            let account = accounts.entry(signal).or_default();
            account.sent(size_bytes, took);
            *account.failures.entry(failure.kind.clone()).or_default() += 1;
            let is_news =
                account.meet(&failure.kind, failure.reason.clone(), failure.retry.is_none());
            is_news.then(|| account.endpoint.clone())
        };
        // Not before the lock is free: what is logged may be sent as well.
        if let Some(endpoint) = endpoint {
            let (name, reason) = (signal.name(), &failure.reason);
            tracing::warn!("{name} not sent to {endpoint}: {reason}; {}", remedy(&failure.kind));
        }
    }

    /// Counts dropped items, and logs them unless the cause is already logged.
    pub(super) fn dropped(&self, signal: Signal, reason: &str, items: u64, detail: &str) {
        if items == 0 {
            return;
        }
        let is_news = {
            let mut accounts = self.lock();
            let account = accounts.entry(signal).or_default();
            *account.dropped.entry(reason.to_owned()).or_default() += items;
            account.meet(reason, format!("lost, {reason}: {detail}"), true)
        };
        if is_news {
            let name = signal.name();
            tracing::warn!(
                "{name} dropped ({reason}): {detail}; counted in monitor.agent.export.dropped"
            );
        }
    }

    /// Notes that the receiver has answered all there was to send. Problems that were not met again
    /// are over; that there are none any more is logged.
    pub(super) fn settle(&self, signal: Signal) {
        let ended = {
            let mut accounts = self.lock();
            let account = accounts.entry(signal).or_default();
            let had_problems = !account.problems.is_empty();
            account.problems.retain(|_, problem| mem::take(&mut problem.outlasts));
            (had_problems && account.problems.is_empty()).then(|| account.endpoint.clone())
        };
        if let Some(endpoint) = ended {
            tracing::info!("{} sent to {endpoint} again", signal.name());
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Signal, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    fn sent(&mut self, size_bytes: usize, took: Duration) {
        self.requests += 1;
        self.size_bytes += size_bytes as u64;
        self.duration = took;
    }

    /// Notes a problem, and says whether it is news.
    fn meet(&mut self, kind: &str, reason: String, outlasts: bool) -> bool {
        if let Some(known) = self.problems.get_mut(kind) {
            known.outlasts |= outlasts;
            return false;
        }
        self.problems.insert(kind.to_owned(), Problem { reason, outlasts });
        true
    }

    fn status(&self, signal: Signal) -> ExportStatus {
        let seconds = |time: SystemTime| time.duration_since(UNIX_EPOCH).unwrap_or_default();
        ExportStatus {
            signal,
            endpoint: self.endpoint.clone(),
            state: match (&self.problems, self.last_success) {
                _ if self.refused.is_some() => ExportState::Failing,
                (problems, _) if !problems.is_empty() => ExportState::Failing,
                (_, None) => ExportState::Starting,
                _ => ExportState::Active,
            },
            last_success: self.last_success.map(|time| seconds(time).as_secs_f64()),
            dropped: self.dropped.values().sum(),
            problems: self
                .refused
                .iter()
                .chain(self.problems.values().map(|problem| &problem.reason))
                .cloned()
                .collect(),
        }
    }
}

/// What to do about a kind of failure.
fn remedy(kind: &str) -> &'static str {
    match kind {
        "Unauthenticated" | "PermissionDenied" | "401" | "403" => "check otlp.headers",
        "Unimplemented" | "404" | "405" | "415" | "malformed_response" => {
            "check that otlp.endpoint is an OTLP receiver that speaks otlp.protocol"
        }
        "redirect" => "set otlp.endpoint to the address of the receiver",
        "timeout" | "connection" => {
            "it is tried again until it is there; check otlp.endpoint and otlp.tls"
        }
        _ => "see the receiver's own log",
    }
}
