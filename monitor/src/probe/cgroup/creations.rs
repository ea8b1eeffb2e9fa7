//! Cgroups as they are created, for whoever cannot wait until the tick ends.

use std::{convert::Infallible, io, iter, time::Duration};

use aya::maps::{MapData, RingBuf};
use tokio::{
    io::{Interest, unix::AsyncFd},
    sync::oneshot,
    time,
};

use super::decode;

/// The least time between two looks: a host may create thousands of cgroups a second.
const PAUSE: Duration = Duration::from_millis(20);
/// Maximum number of cgroups reported at once, more than the ring buffer holds.
const MOST: usize = 1024;

/// Cgroups that are created while the probe runs.
pub struct Creations {
    ring: RingBuf<MapData>,
    ended: oneshot::Receiver<Infallible>,
}

impl Creations {
    /// Those in a ring buffer, until the other end of `ended` is dropped.
    pub(super) fn new(ring: RingBuf<MapData>, ended: oneshot::Receiver<Infallible>) -> Self {
        Self { ring, ended }
    }

    /// Calls `sink` with the paths of cgroups soon after they are created; returns when the probe has ended.
    /// Nothing runs while none are created.
    pub async fn watch<F: Future<Output = ()>>(
        self,
        sink: impl Fn(Vec<String>) -> F,
    ) -> io::Result<()> {
        let Self { ring, mut ended } = self;
        #[expect(unsafe_code, reason = "only the type itself can promise what is asked for here")]
        // SAFETY: a ring buffer keeps one descriptor until it is dropped.
        let mut ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }?;
        loop {
            let mut ready = tokio::select! {
                ready = ring.readable_mut() => ready?,
                _ = &mut ended => return Ok(()),
            };
            let ring = ready.get_inner_mut();
            let created = iter::from_fn(|| Some(path(&ring.next()?))).take(MOST);
            let created: Vec<_> = created.collect();
            if created.len() < MOST {
                ready.clear_ready();
            }
            sink(created.into_iter().flatten().collect()).await;
            time::sleep(PAUSE).await;
        }
    }
}

fn path(bytes: &[u8]) -> Option<String> {
    decode::change(bytes).map(|change| change.path.to_owned())
}
