//! Log records that wait to be sent: few enough that a receiver may be away for long, and the oldest
//! go first.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use opentelemetry_proto::tonic::{
    common::v1::InstrumentationScope, logs::v1::LogRecord, resource::v1::Resource,
};
use prost::Message;
use tokio::sync::Notify;

use super::{ledger::Ledger, value::scope};
use crate::config::Signal;

/// How many bytes of encoded records may wait.
const MAX_WAITING: usize = 8 << 20;

/// What a record in the queue takes beside its own bytes: the queue's place and the allocation's.
const PLACE: usize = 96;

/// A queue of encoded records. It takes them from any thread, and never waits.
#[derive(Debug)]
pub struct Records {
    waiting: Mutex<Waiting>,
    /// Whether they are sent anywhere.
    is_open: AtomicBool,
    /// Says that there are some.
    arrived: Notify,
    ledger: Arc<Ledger>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What a sender that ended could not deliver; older than all others.
    returned: Option<Batch>,
    records: VecDeque<Record>,
    size_bytes: usize,
}

#[derive(Debug)]
struct Record {
    /// What it was made by.
    scope: Cow<'static, str>,
    message: Bytes,
}

/// Records that are sent at once.
#[derive(Debug)]
pub(super) struct Batch {
    /// The request, encoded.
    pub(super) message: Bytes,
    /// How many records are in it.
    pub(super) records: u64,
    /// Whether the receiver may have it, as an earlier attempt ended without an outcome.
    pub(super) in_doubt: bool,
}

impl Records {
    /// An empty queue that takes nothing until it is opened.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            is_open: AtomicBool::new(false),
            arrived: Notify::new(),
            ledger: Arc::default(),
        })
    }

    /// The ledger that losses are noted in.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Whether records that are given are sent.
    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// From now on takes records, or none.
    pub(super) fn open(&self, is_open: bool) {
        self.is_open.store(is_open, Ordering::Relaxed);
        if !is_open {
            let Waiting { returned, records, .. } = mem::take(&mut *self.lock());
            let waiting = records.len() as u64 + returned.map_or(0, |batch| batch.records);
            self.ledger.dropped(Signal::Logs, "turned_off", waiting, "logs are sent no longer");
        }
    }

    /// Adds a record of what was made by `scope`. Those that have waited longest make room for it.
    pub(super) fn push(&self, scope: Cow<'static, str>, record: &LogRecord) {
        if !self.is_open() {
            return;
        }
        let message = record.encode_to_vec().into();
        let dropped = self.lock().push(Record { scope, message });
        self.ledger.dropped(Signal::Logs, "queue_full", dropped, "more come than can be sent");
        self.arrived.notify_one();
    }

    /// Takes a batch back that could not be delivered, for who asks next.
    pub(super) fn give_back(&self, batch: Batch) {
        self.lock().returned = Some(batch);
        self.arrived.notify_one();
    }

    /// Completes when there are records.
    pub(super) async fn arrive(&self) {
        while self.lock().is_empty() {
            self.arrived.notified().await;
        }
    }

    /// Takes the oldest records: those that were given back, or as many as fit into a request of `limit`
    /// bytes.
    pub(super) fn take(&self, resource: &Resource, limit: usize) -> Option<Batch> {
        if let Some(returned) = self.lock().returned.take() {
            return Some(returned);
        }
        let envelope = resource.encoded_len() + PLACE;
        let records = self.lock().take(limit.saturating_sub(envelope));
        (!records.is_empty()).then(|| batch(records, resource.clone()))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.returned.is_none() && self.records.is_empty()
    }

    /// Adds a record, and says how many were dropped for it.
    fn push(&mut self, record: Record) -> u64 {
        self.size_bytes += record.size_bytes();
        self.records.push_back(record);
        let mut dropped = 0;
        while self.size_bytes > MAX_WAITING
            && let Some(oldest) = self.records.pop_front()
        {
            self.size_bytes -= oldest.size_bytes();
            dropped += 1;
        }
        dropped
    }

    /// Takes records of so many bytes at most, or one.
    fn take(&mut self, limit: usize) -> Vec<Record> {
        let (mut taken, mut size) = (0, 0);
        for record in &self.records {
            size += record.size_bytes();
            if size > limit && taken > 0 {
                break;
            }
            taken += 1;
        }
        let taken: Vec<_> = self.records.drain(..taken).collect();
        self.size_bytes -= taken.iter().map(Record::size_bytes).sum::<usize>();
        taken
    }
}

impl Record {
    fn size_bytes(&self) -> usize {
        self.message.len() + self.scope.len() + PLACE
    }
}

fn batch(records: Vec<Record>, resource: Resource) -> Batch {
    let count = records.len() as u64;
    let mut by_scope = BTreeMap::<_, Vec<Bytes>>::new();
    for Record { scope, message } in records {
        by_scope.entry(scope).or_default().push(message);
    }
    let scope_logs = by_scope.into_iter().map(|(name, log_records)| ScopeLogs {
        scope: Some(InstrumentationScope { name: name.into_owned(), ..scope() }),
        log_records,
    });
    let resource_logs =
        vec![ResourceLogs { resource: Some(resource), scope_logs: scope_logs.collect() }];
    let message = Request { resource_logs }.encode_to_vec().into();
    Batch { message, records: count, in_doubt: false }
}

/// `ExportLogsServiceRequest`, with records that are encoded already: on the wire, bytes and a message
/// are the same.
#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, optional, tag = "1")]
    scope: Option<InstrumentationScope>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    log_records: Vec<Bytes>,
}
