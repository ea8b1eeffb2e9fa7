//! Sends one signal for as long as the daemon runs.

use std::{future, sync::Arc, time::Duration};

use bytes::Bytes;
use opentelemetry_proto::tonic::resource::v1 as proto;
use opentelemetry_sdk::Resource;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};

use super::{
    backoff::Backoff,
    client::{Accepted, Client, Failure, Retry},
    delta::Deltas,
    ledger::Ledger,
    metrics::{self, Sent},
    records::{Batch, Records},
    value,
};
use crate::{
    config::{Signal, Temporality},
    view::View,
};

/// How large a request may be before compression. Receivers take 4 MiB unless told otherwise.
const MAX_REQUEST: usize = 3 << 20;

/// How large a request with logs may be: they are kept until they are taken.
const MAX_LOGS: usize = 1 << 20;

/// How long log records wait for more to go with them.
const LINGER: Duration = Duration::from_secs(1);

/// Why what is left when sending ends is lost.
const CUT_OFF: &str = "the receiver took too long";

/// What a sender is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Run,
    /// Send what is left at once, and once, and end.
    Finish,
    /// Leave what is left to the next sender, and end.
    HandOver,
}

/// The order in force.
pub(super) type Orders = watch::Receiver<Order>;

/// A way to a receiver, with account kept of it.
pub(super) struct Sender {
    pub(super) signal: Signal,
    pub(super) client: Client,
    pub(super) ledger: Arc<Ledger>,
    /// The exported resource; known before anything is sent.
    pub(super) resources: watch::Receiver<Option<Resource>>,
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

    /// The resource as it is by now.
    fn resource(&self) -> proto::Resource {
        self.resources.borrow().as_ref().map(value::resource).unwrap_or_default()
    }

    /// Notes that items will not be sent again.
    fn lose(&self, failure: &Failure, items: u64) {
        self.ledger.dropped(self.signal, &failure.kind, items, &failure.reason);
    }

    /// Sends metrics at each interval: the latest view, or the growth of counters and histograms.
    pub(super) async fn metrics(
        mut self,
        mut views: watch::Receiver<Arc<View>>,
        (interval, temporality): (Duration, Temporality),
        deltas: Arc<Deltas>,
        mut orders: Orders,
    ) {
        // Before the first tick there is nothing. Without a tick loop there is nothing to come.
        let Ok(view) = views.wait_for(|view| view.tick > 0).await.map(|view| view.clone()) else {
            return;
        };
        let mut unsent = Unsent {
            deltas: deltas.clone(),
            temporality,
            view,
            ledger: self.ledger.clone(),
            orders: orders.clone(),
        };
        let mut backoff = Backoff::default();
        let (mut due, mut sent) = (Instant::now(), Sent::default());
        loop {
            let order = *orders.borrow();
            if order == Order::HandOver {
                return;
            }
            let view = views.borrow().clone();
            unsent.view = view.clone();
            due = Instant::now().max(due + interval);
            let result = match temporality {
                Temporality::Cumulative => self.latest(&view, &mut sent, &mut backoff).await,
                _ => self.grown(&deltas, &view, temporality, &mut backoff).await,
            };
            if let Err(retry) = result {
                due = Instant::now() + backoff.next(retry);
            }
            if order == Order::Finish {
                return;
            }
            pause(due, &mut orders).await;
        }
    }

    /// Sends a view if it is newer than what was `sent`, with the exemplars since; they are sent again when a later request
    /// of the same view fails. The first request that may be sent again ends it; one that may not is lost. Nothing is kept:
    /// cumulative metrics that could not be sent are superseded by the next view.
    async fn latest(
        &mut self,
        view: &View,
        sent: &mut Sent,
        backoff: &mut Backoff,
    ) -> Result<(), Retry> {
        if view.tick <= sent.tick {
            return Ok(());
        }
        let mut is_taken = true;
        let resource = self.resource();
        for request in
            metrics::requests(view, *sent, Temporality::Cumulative, resource, MAX_REQUEST)
        {
            let points = request.points;
            let Err(failure) = self.send(request.message, points).await else { continue };
            match failure.retry {
                None => {
                    is_taken = false;
                    self.lose(&failure, points);
                }
                Some(retry) => return Err(retry),
            }
        }
        self.ledger.settle(self.signal);
        if is_taken {
            sent.taken(view);
        }
        sent.tick = view.tick;
        backoff.reset();
        Ok(())
    }

    /// Sends what waits, then the growth up to a view. What was not taken is sent again as it is, before anything else, so
    /// what may have arrived does not change.
    async fn grown(
        &mut self,
        deltas: &Deltas,
        view: &Arc<View>,
        temporality: Temporality,
        backoff: &mut Backoff,
    ) -> Result<(), Retry> {
        loop {
            while let Some(request) = deltas.first() {
                if request.in_doubt {
                    self.ledger.resent(self.signal, request.points);
                }
                // Until there is an outcome.
                deltas.doubt_first(true);
                if let Err(failure) = self.send(request.message, request.points).await {
                    deltas.doubt_first(failure.in_doubt);
                    match failure.retry {
                        None => self.lose(&failure, request.points),
                        Some(retry) => return Err(retry),
                    }
                }
                deltas.remove_first();
                backoff.reset();
            }
            if !deltas.advance(view, temporality, self.resource(), MAX_REQUEST) {
                self.ledger.settle(self.signal);
                return Ok(());
            }
        }
    }

    /// Sends log records as they come.
    pub(super) async fn logs(mut self, records: Arc<Records>, mut orders: Orders) {
        let mut backoff = Backoff::default();
        loop {
            tokio::select! {
                () = records.arrive() => pause(Instant::now() + LINGER, &mut orders).await,
                () = end(&mut orders) => {}
            }
            let order = *orders.borrow();
            while *orders.borrow() != Order::HandOver
                && let Some(batch) = records.take(&self.resource(), MAX_LOGS)
            {
                self.deliver(batch, &records, &mut backoff, &mut orders).await;
            }
            if order != Order::Run {
                return;
            }
        }
    }

    /// Sends a batch until it is taken, or never will be, or is left to the next sender.
    async fn deliver(
        &mut self,
        batch: Batch,
        records: &Arc<Records>,
        backoff: &mut Backoff,
        orders: &mut Orders,
    ) {
        let (records, count) = (records.clone(), batch.records);
        let message = batch.message.clone();
        let mut undelivered = Undelivered { batch: Some(batch), records, orders: orders.clone() };
        loop {
            let order = *orders.borrow();
            if order == Order::HandOver {
                return;
            }
            if undelivered.doubt(true) {
                self.ledger.resent(self.signal, count);
            }
            let Err(failure) = self.send(message.clone(), count).await else { break };
            undelivered.doubt(failure.in_doubt);
            match failure.retry {
                Some(retry) if order == Order::Run => {
                    pause(Instant::now() + backoff.next(retry), orders).await;
                }
                _ => break self.lose(&failure, count),
            }
        }
        undelivered.settle();
        backoff.reset();
        self.ledger.settle(self.signal);
    }
}

/// Records that are being sent. Where that is cut off they are left to the next sender; they are lost
/// when there will be none.
struct Undelivered {
    batch: Option<Batch>,
    records: Arc<Records>,
    orders: Orders,
}

impl Undelivered {
    /// Notes whether the receiver may have them. Returns whether that was so before.
    fn doubt(&mut self, in_doubt: bool) -> bool {
        let batch = self.batch.as_mut();
        batch.is_some_and(|batch| std::mem::replace(&mut batch.in_doubt, in_doubt))
    }

    /// Notes that there is no more to be done.
    fn settle(mut self) {
        self.batch = None;
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        let Some(batch) = self.batch.take() else { return };
        if *self.orders.borrow() == Order::HandOver {
            return self.records.give_back(batch);
        }
        let (ledger, count) = (self.records.ledger(), batch.records);
        ledger.dropped(Signal::Logs, "cut_off", count, CUT_OFF);
    }
}

/// Growth that was not sent when its sender ends. It is left to the next; it is lost when there will be none.
struct Unsent {
    deltas: Arc<Deltas>,
    temporality: Temporality,
    /// The last view that was to be sent.
    view: Arc<View>,
    ledger: Arc<Ledger>,
    orders: Orders,
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if *self.orders.borrow() != Order::HandOver {
            let lost = self.deltas.abandon(&self.view, self.temporality);
            self.ledger.dropped(Signal::Metrics, "cut_off", lost, CUT_OFF);
        }
    }
}

/// Waits until then, or for another order.
async fn pause(due: Instant, orders: &mut Orders) {
    tokio::select! {
        () = sleep_until(due) => {}
        () = end(orders) => {}
    }
}

/// Waits for an order to end, of either kind.
async fn end(orders: &mut Orders) {
    if orders.wait_for(|order| *order != Order::Run).await.is_err() {
        // Who gives orders is gone, and ends this task as well.
        future::pending().await
    }
}
