//! Sends one signal for as long as the daemon runs.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use opentelemetry_proto::tonic::resource::v1::Resource;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    backoff::Backoff,
    client::{Accepted, Client, Failure, Retry},
    ledger::Ledger,
    metrics,
    records::{Batch, Records},
};
use crate::{config::Signal, view::View};

/// How large a request may be before compression. Receivers take 4 MiB unless told otherwise.
const MAX_REQUEST: usize = 3 << 20;

/// How large a request with logs may be: they are kept until they are taken.
const MAX_LOGS: usize = 1 << 20;

/// How long log records wait for more to go with them.
const LINGER: Duration = Duration::from_secs(1);

/// Becomes true when the daemon stops: what is left is sent at once, and once.
pub(super) type Stop = watch::Receiver<bool>;

/// A way to a receiver, with account kept of it.
pub(super) struct Sender {
    pub(super) signal: Signal,
    pub(super) client: Client,
    pub(super) ledger: Arc<Ledger>,
    pub(super) resource: Resource,
}

impl Sender {
    /// Sends a request with so many items, once.
    async fn send(&mut self, message: Bytes, items: u64) -> Result<(), Failure> {
        let (begin, size_bytes) = (Instant::now(), message.len());
        let answer = self.client.send(message).await;
        let took = begin.elapsed();
        match answer {
            Ok(Accepted { rejected, message }) => {
                let rejected = rejected.min(items);
                self.ledger.taken(self.signal, items - rejected, size_bytes, took);
                if rejected > 0 {
                    self.ledger.dropped(self.signal, "rejected", rejected, &message);
                } else if !message.is_empty() {
                    tracing::debug!("the receiver of {} says: {message}", self.signal.name());
                }
                Ok(())
            }
            Err(failure) => {
                self.ledger.failed(self.signal, &failure, size_bytes, took);
                Err(failure)
            }
        }
    }

    /// Notes that items will not be sent again.
    fn lose(&self, failure: &Failure, items: u64) {
        self.ledger.dropped(self.signal, &failure.kind, items, &failure.reason);
    }

    /// Sends the latest view at each interval. Counters are cumulative: one that could not be sent is
    /// made good by the next, so nothing is kept, and what is tried again is the view of that moment.
    pub(super) async fn metrics(
        mut self,
        mut views: watch::Receiver<Arc<View>>,
        interval: Duration,
        mut stop: Stop,
    ) {
        // Before the first tick there is nothing. Without a tick loop there is nothing to come.
        if views.wait_for(|view| view.tick > 0).await.is_err() {
            return;
        }
        let mut backoff = Backoff::default();
        let (mut due, mut sent) = (Instant::now(), 0);
        loop {
            let is_last = *stop.borrow();
            let view = views.borrow().clone();
            due = Instant::now().max(due + interval);
            if view.tick > sent {
                match self.view(&view, sent).await {
                    Ok(()) => {
                        sent = view.tick;
                        backoff.reset();
                    }
                    Err(retry) => due = Instant::now() + backoff.next(retry),
                }
            }
            if is_last {
                return;
            }
            pause(due, &mut stop).await;
        }
    }

    /// Sends a view, with the examples that came after the tick `sent`; they are sent again when a later request
    /// of the same view fails. The first request that may be sent again ends it; one that may not is lost.
    async fn view(&mut self, view: &View, sent: u64) -> Result<(), Retry> {
        for request in metrics::requests(view, sent, self.resource.clone(), MAX_REQUEST) {
            let points = request.points;
            let Err(failure) = self.send(request.message, points).await else { continue };
            match failure.retry {
                None => self.lose(&failure, points),
                Some(retry) => return Err(retry),
            }
        }
        self.ledger.settle(self.signal);
        Ok(())
    }

    /// Sends log records as they come.
    pub(super) async fn logs(mut self, records: Arc<Records>, mut stop: Stop) {
        let mut backoff = Backoff::default();
        loop {
            let has_come = tokio::select! {
                () = records.arrive() => true,
                _ = stop.wait_for(|stop| *stop) => false,
            };
            if has_come {
                pause(Instant::now() + LINGER, &mut stop).await;
            }
            let is_last = *stop.borrow();
            while let Some(batch) = records.take(&self.resource, MAX_LOGS) {
                self.deliver(batch, &mut backoff, &mut stop).await;
            }
            if is_last {
                return;
            }
        }
    }

    /// Sends a batch until it is taken, or never will be.
    async fn deliver(&mut self, batch: Batch, backoff: &mut Backoff, stop: &mut Stop) {
        let mut undelivered = Undelivered { ledger: self.ledger.clone(), records: batch.records };
        loop {
            let is_last = *stop.borrow();
            let Err(failure) = self.send(batch.message.clone(), batch.records).await else { break };
            match failure.retry {
                Some(retry) if !is_last => pause(Instant::now() + backoff.next(retry), stop).await,
                _ => break self.lose(&failure, batch.records),
            }
        }
        undelivered.records = 0;
        backoff.reset();
        self.ledger.settle(self.signal);
    }
}

/// Records that are being sent. They are lost when that is cut off.
struct Undelivered {
    ledger: Arc<Ledger>,
    records: u64,
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        self.ledger.dropped(Signal::Logs, "cut_off", self.records, "the receiver took too long");
    }
}

/// Waits until then, or until the daemon stops.
async fn pause(due: Instant, stop: &mut Stop) {
    tokio::select! {
        () = sleep_until(due) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
