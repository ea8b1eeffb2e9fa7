//! Events of a probe: taken out of its ring buffer once a tick, then decoded.

pub(super) mod decode;

use std::{iter, marker::PhantomData};

use aya::maps::{MapData, RingBuf};
use monitor_common::Pod;

use super::{ProbeError, maps};
use crate::{
    event::{Among, Clock, Event, Kind},
    kernel::loader::Object,
};

/// Events that are taken at most in a tick: more than any ring buffer has room for. Who makes them
/// as fast as they are taken must not keep the tick from ending.
const MOST: usize = 1 << 16;

/// A ring buffer, and what was in it.
pub(super) struct Ring {
    ring: RingBuf<MapData>,
    raw: Vec<u8>,
    /// Where each event in `raw` ends.
    ends: Vec<usize>,
}

/// The ring buffer, and what was in it. What slow latencies are about is an `S`.
pub(super) struct Events<S = ()> {
    ring: Ring,
    clock: Clock,
    page_bytes: u64,
    subject: PhantomData<fn() -> S>,
}

impl Ring {
    /// Takes the ring buffer called `map` of a probe.
    pub(super) fn take(
        object: &mut Object,
        map: (&'static str, &'static str),
    ) -> Result<Self, ProbeError> {
        Ok(Self { ring: maps::take(object, map)?, raw: Vec::new(), ends: Vec::new() })
    }

    /// Takes all events that are there. Those of the last tick are gone.
    pub(super) fn snapshot(&mut self) {
        self.raw.clear();
        self.ends.clear();
        while self.ends.len() < MOST
            && let Some(event) = self.ring.next()
        {
            self.raw.extend_from_slice(&event);
            self.ends.push(self.raw.len());
        }
    }

    /// The bytes of each event that was taken.
    pub(super) fn each(&self) -> impl Iterator<Item = &[u8]> {
        let starts = iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.raw[start..*end])
    }
}

impl<S: Pod> Events<S> {
    /// Takes the ring buffer called `map` of a probe.
    pub(super) fn take(
        object: &mut Object,
        map: (&'static str, &'static str),
    ) -> Result<Self, ProbeError> {
        #[expect(unsafe_code, reason = "the standard library does not know the size of a page")]
        // SAFETY: takes an integer only.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        Ok(Self {
            ring: Ring::take(object, map)?,
            clock: Clock::now(),
            page_bytes: u64::try_from(page).unwrap_or(4096),
            subject: PhantomData,
        })
    }

    /// Takes all events that are there. Those of the last tick are gone.
    pub(super) fn snapshot(&mut self) {
        self.clock = Clock::now();
        self.ring.snapshot();
    }

    /// Calls `sink` with every event that was taken, of the kinds that are wanted. `among` knows what a
    /// slow latency is one of.
    pub(super) fn decode(
        &self,
        wanted: &dyn Fn(Kind) -> bool,
        among: &mut dyn FnMut(usize, &S) -> Option<Among>,
        sink: &mut dyn FnMut(Event),
    ) {
        for bytes in self.ring.each() {
            // Most are decoded for nobody: there may be thousands in a tick.
            if decode::kind(bytes).is_some_and(wanted)
                && let Some(event) = decode::decode(bytes, (&self.clock, self.page_bytes), among)
            {
                sink(event);
            }
        }
    }

    /// What the slow latencies are about that were taken.
    pub(super) fn subjects(&self) -> impl Iterator<Item = S> {
        self.ring.each().filter_map(|bytes| Some(decode::slow(bytes)?.subject))
    }
}
