//! How long a connection may last: ten seconds, and longer only while a response is being read fast
//! enough, so that a scraper behind a slow line gets all of it and a client that does nothing does not
//! hold a connection.

use std::{
    collections::{BTreeMap, HashMap},
    io,
    net::IpAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::HeaderMap;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time,
};

use super::DEADLINE;
use crate::{
    metric::HTTP_ABORTED,
    sample::{Attributes, Owner, Sample, Value},
};

/// Maximum time of a connection whose client names no timeout.
const LIMIT: Duration = Duration::from_secs(30);

/// Maximum time of any connection.
const MAX_LIMIT: Duration = Duration::from_secs(120);

/// Minimum rate at which a response is read, in bytes a second since the connection was accepted.
const MIN_RATE: u64 = 8 << 10;

/// Connections at one time that last longer than [`DEADLINE`]: half of them all, so that the other half
/// is free again within that time.
const MAX_SLOW: usize = super::MAX_CONNECTIONS / 2;

/// Those of one peer.
const MAX_SLOW_PER_PEER: usize = 4;

/// Minimum time between two lines in the log.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The header in which Prometheus sends its timeout, in seconds.
const SCRAPE_TIMEOUT: &str = "x-prometheus-scrape-timeout-seconds";

/// Connections that were closed before their end, by the reason.
#[derive(Debug, Default)]
pub struct Aborted(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    by_reason: BTreeMap<&'static str, u64>,
    logged: Option<Instant>,
}

impl Aborted {
    /// Emits the counts.
    pub fn collect(&self, sink: &mut dyn FnMut(Sample<'_>)) {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for reason in Reason::ALL {
            let count = counts.by_reason.get(reason.name()).copied().unwrap_or_default();
            let attributes = &Attributes::new([("error.type", reason.name())]);
            let (owner, value) = (Owner::Host, Value::Total(count as f64));
            sink(Sample { metric: &HTTP_ABORTED, owner, attributes, value });
        }
    }

    pub(super) fn count(&self, peer: IpAddr, reason: Reason, progress: &Progress) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.by_reason.entry(reason.name()).or_default() += 1;
        let is_due = counts.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL);
        if reason == Reason::Timeout || !is_due {
            tracing::debug!(%peer, reason = reason.name(), "HTTP connection closed");
            return;
        }
        counts.logged = Some(Instant::now());
        drop(counts);
        let (seconds, bytes) = (progress.begin.elapsed().as_secs(), progress.written());
        tracing::warn!(
            %peer,
            "HTTP response cut off after {bytes} bytes in {seconds} s: {}; \
             monitor.agent.http.aborted counts them",
            reason.explanation()
        );
    }
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// No request came in time.
    Timeout,
    /// The response is read too slowly.
    Slow,
    /// It takes longer than the client's timeout, or than any may.
    Limit,
    /// Too many others take as long.
    Slots,
}

impl Reason {
    const ALL: [Self; 4] = [Self::Timeout, Self::Slow, Self::Limit, Self::Slots];

    fn name(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Slow => "slow",
            Self::Limit => "limit",
            Self::Slots => "slots",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Timeout => "no request",
            Self::Slow => "it is read too slowly",
            Self::Limit => "the timeout of the client is over; raise scrape_timeout",
            Self::Slots => "too many responses are read slowly at this time",
        }
    }
}

/// How far a connection is.
#[derive(Debug)]
pub(super) struct Progress {
    begin: Instant,
    written: AtomicU64,
    /// Zero until a request came.
    limit_ms: AtomicU64,
}

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            begin: Instant::now(),
            written: AtomicU64::new(0),
            limit_ms: AtomicU64::new(0),
        })
    }

    /// Notes that a request came, with the timeout that the client names.
    pub(super) fn request(&self, headers: &HeaderMap) {
        let seconds =
            headers.get(SCRAPE_TIMEOUT).and_then(|value| value.to_str().ok()?.parse().ok());
        let limit = seconds.and_then(|seconds: f64| Duration::try_from_secs_f64(seconds).ok());
        let limit = limit.unwrap_or(LIMIT).clamp(DEADLINE, MAX_LIMIT);
        self.limit_ms.store(limit.as_millis() as u64, Relaxed);
    }

    /// Bytes that the kernel took for the client, which may be as much as its buffers hold before the client
    /// has read anything.
    fn written(&self) -> u64 {
        self.written.load(Relaxed)
    }
}

/// Who has a connection for longer than [`DEADLINE`].
#[derive(Debug, Default)]
pub(super) struct Slots(Mutex<HashMap<IpAddr, usize>>);

/// A slot of a peer, until it is dropped.
struct Slot<'a>(&'a Slots, IpAddr);

impl Slots {
    fn take(&self, peer: IpAddr) -> Option<Slot<'_>> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = peers.get(&peer).copied().unwrap_or_default();
        if own >= MAX_SLOW_PER_PEER || peers.values().sum::<usize>() >= MAX_SLOW {
            return None;
        }
        peers.insert(peer, own + 1);
        Some(Slot(self, peer))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut peers = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = peers.get_mut(&self.1) {
            *own -= 1;
            if *own == 0 {
                peers.remove(&self.1);
            }
        }
    }
}

/// Completes when a connection has to be closed, with the reason.
pub(super) async fn expire(progress: &Progress, slots: &Slots, peer: IpAddr) -> Reason {
    time::sleep(DEADLINE).await;
    let limit = Duration::from_millis(progress.limit_ms.load(Relaxed));
    if limit.is_zero() {
        return Reason::Timeout;
    }
    let Some(_slot) = slots.take(peer) else { return Reason::Slots };
    loop {
        let elapsed = progress.begin.elapsed();
        if let Some(reason) = verdict(progress.written(), elapsed, limit) {
            return reason;
        }
        time::sleep(Duration::from_secs(1).min(limit - elapsed)).await;
    }
}

/// Whether a response has to be cut off of which so much was written. Before the first byte, the daemon
/// is the slow one.
fn verdict(written: u64, elapsed: Duration, limit: Duration) -> Option<Reason> {
    if elapsed >= limit {
        return Some(Reason::Limit);
    }
    (0 < written && written < MIN_RATE * elapsed.as_secs()).then_some(Reason::Slow)
}

/// A connection whose progress is noted.
pub(super) struct Metered<S> {
    pub(super) inner: S,
    pub(super) progress: Arc<Progress>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> Metered<S> {
    fn note(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.progress.written.fetch_add(bytes as u64, Relaxed);
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, bytes);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_cut_off_below_the_minimum_rate_or_at_its_limit() {
        let cut = |written, seconds| {
            verdict(written, Duration::from_secs(seconds), Duration::from_secs(60))
        };
        assert_eq!(cut(MIN_RATE * 20, 20), None);
        assert_eq!(cut(MIN_RATE * 20 - 1, 20), Some(Reason::Slow));
        assert_eq!(cut(0, 20), None);
        assert_eq!(cut(u64::MAX, 60), Some(Reason::Limit));
    }

    #[test]
    fn timeouts_of_clients_have_bounds() {
        let limit = |value: Option<&str>| {
            let progress = Progress::new();
            let header =
                value.map(|value| (SCRAPE_TIMEOUT.parse().unwrap(), value.parse().unwrap()));
            progress.request(&header.into_iter().collect());
            Duration::from_millis(progress.limit_ms.load(Relaxed))
        };
        assert_eq!(limit(Some("45.5")), Duration::from_millis(45_500));
        assert_eq!(limit(Some("3600")), MAX_LIMIT);
        assert_eq!(limit(Some("1")), DEADLINE);
        for nonsense in [None, Some("soon"), Some("-1"), Some("NaN")] {
            assert_eq!(limit(nonsense), LIMIT, "{nonsense:?}");
        }
    }
}
