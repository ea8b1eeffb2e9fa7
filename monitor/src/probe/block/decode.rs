//! From the raw records of the `block` probe to samples. No input or output here.

use std::{
    collections::{BTreeMap, HashMap},
    iter,
};

use monitor_common::{
    block::{DEVICE, Entry, LATENCIES, Loss, Losses, Operation, PASSTHROUGH, QUEUE, Subject},
    hist::COARSE_SHIFT,
};

use crate::{
    event::Among,
    metric::{
        BLOCK_PASSTHROUGH, MetricDesc, PROCESS_BLOCK_DEVICE_LATENCY, PROCESS_BLOCK_ERRORS,
        PROCESS_BLOCK_IO, PROCESS_BLOCK_OPERATIONS, PROCESS_BLOCK_QUEUE_LATENCY,
    },
    probe::{ledger::Ledger, scratch::Scratch},
    sample::{Attributes, Owner, Sample, Value},
};

/// The metrics that one entry, or the sum of some, gives values to.
struct Metrics {
    /// By the latencies' places.
    latencies: [&'static MetricDesc; LATENCIES],
    operations: &'static MetricDesc,
    bytes: &'static MetricDesc,
    errors: &'static MetricDesc,
    /// How much coarser than scale 3 the latencies are.
    shift: u32,
}

static OF_PROCESS: Metrics = Metrics {
    latencies: [&PROCESS_BLOCK_QUEUE_LATENCY, &PROCESS_BLOCK_DEVICE_LATENCY],
    operations: &PROCESS_BLOCK_OPERATIONS,
    bytes: &PROCESS_BLOCK_IO,
    errors: &PROCESS_BLOCK_ERRORS,
    shift: COARSE_SHIFT,
};

static OF_HOST: Metrics = Metrics {
    latencies: [OF_PROCESS.latencies[0].of_host(), OF_PROCESS.latencies[1].of_host()],
    operations: OF_PROCESS.operations.of_host(),
    bytes: OF_PROCESS.bytes.of_host(),
    errors: OF_PROCESS.errors.of_host(),
    shift: 0,
};

/// The names of devices by their numbers.
type Names = HashMap<u32, String>;

/// The raw contents of the maps at the end of one tick.
#[derive(Default)]
pub(super) struct Snapshot {
    /// What was counted.
    pub(super) entries: Vec<Entry>,
    /// What was not, or not where it belongs.
    pub(super) lost: Losses,
    /// The names of the devices in the entries, and of those that were slow.
    pub(super) names: Names,
}

/// Decodes snapshots. It keeps the attributes it gives to samples and room for a histogram.
pub(super) struct Decoder {
    /// By device and operation, with the name that the device had.
    attributes: HashMap<(u32, u16), (String, Attributes)>,
    ledger: Ledger,
    scratch: Scratch,
}

/// How many sets of attributes are kept.
const KEPT: usize = 4096;

impl Default for Decoder {
    fn default() -> Self {
        Self {
            attributes: HashMap::new(),
            ledger: Ledger::new(super::NAME, &Loss::NAMES),
            scratch: Scratch::default(),
        }
    }
}

impl Decoder {
    /// Calls `sink` with every sample of a snapshot.
    pub(super) fn decode(&mut self, snapshot: &Snapshot, sink: &mut dyn FnMut(Sample<'_>)) {
        if self.attributes.len() > KEPT {
            self.attributes.clear();
        }
        let mut host: BTreeMap<(u32, u16), Entry> = BTreeMap::new();
        for entry in &snapshot.entries {
            if entry.key.operation == PASSTHROUGH {
                passthrough(entry, &snapshot.names, sink);
                continue;
            }
            let attributes =
                self.attributes(&snapshot.names, (entry.key.device, entry.key.operation));
            self.entry(entry, (&OF_PROCESS, Owner::from(&entry.key.process())), &attributes, sink);
            let place = (entry.key.device, entry.key.operation);
            add(host.entry(place).or_insert(Entry { key: entry.key, ..Entry::EMPTY }), entry);
        }
        for (place, sum) in &host {
            let attributes = self.attributes(&snapshot.names, *place);
            self.entry(sum, (&OF_HOST, Owner::Host), &attributes, sink);
        }
        self.ledger.decode(&snapshot.lost, sink);
    }

    /// What a slow latency is among, by its place.
    pub(super) fn among(
        &mut self,
        latency: usize,
        subject: &Subject,
        names: &Names,
    ) -> Option<Among> {
        let place = (subject.device, subject.operation.try_into().ok()?);
        let metric = |metrics: &Metrics| metrics.latencies.get(latency).copied();
        let metrics = [metric(&OF_PROCESS)?, metric(&OF_HOST)?];
        Some(Among::alike(&self.attributes(names, place), metrics))
    }

    fn attributes(&mut self, names: &Names, (device, operation): (u32, u16)) -> Attributes {
        let name = names.get(&device).map_or("", String::as_str);
        let (known, attributes) = self.attributes.entry((device, operation)).or_default();
        // Another device may have got the number.
        if known != name {
            name.clone_into(known);
            let direction = Operation::NAMES.get(usize::from(operation)).unwrap_or(&"");
            *attributes =
                Attributes::new([("system.device", name), ("disk.io.direction", *direction)]);
        }
        attributes.clone()
    }

    fn entry(
        &mut self,
        entry: &Entry,
        (metrics, owner): (&Metrics, Owner),
        attributes: &Attributes,
        sink: &mut dyn FnMut(Sample<'_>),
    ) {
        // Every operation with one latency has the other too. The kernel leaves out those that did not
        // wait in the queue.
        let [queued, timed]: [u32; LATENCIES] =
            [QUEUE, DEVICE].map(|latency| entry.slots[latency].iter().sum());
        let did_not_wait = timed.saturating_sub(queued);
        for (latency, metric) in metrics.latencies.into_iter().enumerate() {
            let slots = &entry.slots[latency];
            let first = slots[0] + if latency == QUEUE { did_not_wait } else { 0 };
            let counts = iter::once(first).chain(slots[1..].iter().copied());
            if timed > 0 {
                let durations = self.scratch.coarser(metrics.shift, entry.sums[latency], counts);
                sink(Sample { metric, owner, attributes, value: Value::Histogram(durations) });
            }
        }
        for (metric, increase) in [
            (metrics.operations, entry.untimed + u64::from(timed)),
            (metrics.bytes, entry.bytes),
            (metrics.errors, entry.errors),
        ] {
            // That nothing failed, or was moved, is said too.
            sink(Sample { metric, owner, attributes, value: Value::Increase(increase) });
        }
    }
}

/// Commands that only drivers understand.
fn passthrough(entry: &Entry, names: &Names, sink: &mut dyn FnMut(Sample<'_>)) {
    let name = names.get(&entry.key.device).map_or("", String::as_str);
    let attributes = Attributes::new([("system.device", name)]);
    let value = Value::Increase(entry.untimed);
    let metric = &BLOCK_PASSTHROUGH;
    sink(Sample { metric, owner: Owner::Host, attributes: &attributes, value });
}

/// Adds what another entry counted.
fn add(sum: &mut Entry, entry: &Entry) {
    sum.untimed += entry.untimed;
    sum.bytes += entry.bytes;
    sum.errors += entry.errors;
    for latency in 0..LATENCIES {
        // As in the kernel, see `room`.
        sum.sums[latency] = sum.sums[latency].wrapping_add(entry.sums[latency]);
        for (sum, count) in sum.slots[latency].iter_mut().zip(&entry.slots[latency]) {
            *sum += count;
        }
    }
}

#[cfg(test)]
mod tests;
