//! Block devices, from `/proc/diskstats`.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use super::file::ProcFile;
use super::{Emit, Error, HostPaths, Part};
use crate::metric;
use crate::sample::Attributes;

/// Bytes of a sector of `/proc/diskstats`, whatever the sectors of the device are.
const SECTOR: u64 = 512;

/// Operations, merged, sectors and milliseconds of reads, then of writes; operations in flight, and
/// milliseconds with any.
type Columns = [u64; 10];

pub(super) struct Disks {
    diskstats: ProcFile,
    /// Has an entry for each whole device.
    block: PathBuf,
    devices: HashMap<String, Device>,
}

struct Device {
    present: bool,
    /// `None` for a partition: what it does is counted for the whole device.
    disk: Option<Disk>,
}

struct Disk {
    device: Attributes,
    in_flight: u64,
    active_ms: u64,
    /// Reads, writes.
    directions: [(Attributes, Direction); 2],
}

/// What a device did in one direction.
#[derive(Clone, Copy, Default)]
struct Direction {
    operations: u64,
    merged: u64,
    sectors: u64,
    spent_ms: u64,
}

impl Disks {
    pub(super) fn new(paths: &HostPaths) -> Self {
        Self {
            diskstats: ProcFile::new(paths.proc.join("diskstats")),
            block: paths.sys.join("block"),
            devices: HashMap::new(),
        }
    }
}

impl Part for Disks {
    fn name(&self) -> &'static str {
        "disks"
    }

    fn refresh(&mut self) -> Result<(), Error> {
        let Self { diskstats, block, devices } = self;
        devices.values_mut().for_each(|device| device.present = false);
        for line in diskstats.read()?.lines() {
            let mut words = line.split_ascii_whitespace();
            let Some(name) = words.nth(2) else { continue };
            let mut columns = Columns::default();
            for (column, word) in columns.iter_mut().zip(words) {
                *column = word.parse().unwrap_or(0);
            }
            // A drive or loop device with nothing in it.
            if columns == Columns::default() {
                continue;
            }
            let device = match devices.get_mut(name) {
                Some(device) => device,
                None => {
                    fs::metadata(&*block)
                        .map_err(|source| Error::Read { path: block.clone(), source })?;
                    let whole = block.join(name.replace('/', "!")).exists();
                    let device = Device { present: true, disk: whole.then(|| Disk::new(name)) };
                    devices.entry(name.to_owned()).or_insert(device)
                }
            };
            device.present = true;
            if let Some(disk) = &mut device.disk {
                disk.update(columns);
            }
        }
        devices.retain(|_, device| device.present);
        Ok(())
    }

    fn emit(&self, emit: &mut Emit<'_>) {
        for disk in self.devices.values().filter_map(|device| device.disk.as_ref()) {
            emit.gauge(&metric::DISK_IN_FLIGHT, &disk.device, disk.in_flight as f64);
            emit.total(&metric::SYSTEM_DISK_IO_TIME, &disk.device, seconds(disk.active_ms));
            for (attributes, did) in &disk.directions {
                let bytes = did.sectors * SECTOR;
                emit.total(&metric::SYSTEM_DISK_IO, attributes, bytes as f64);
                emit.total(&metric::SYSTEM_DISK_OPERATIONS, attributes, did.operations as f64);
                emit.total(&metric::SYSTEM_DISK_MERGED, attributes, did.merged as f64);
                let spent = seconds(did.spent_ms);
                emit.total(&metric::SYSTEM_DISK_OPERATION_TIME, attributes, spent);
            }
        }
    }
}

impl Disk {
    fn new(name: &str) -> Self {
        let device = ("system.device", name);
        let direction = |direction| {
            let attributes = Attributes::new([device, ("disk.io.direction", direction)]);
            (attributes, Direction::default())
        };
        Self {
            device: Attributes::new([device]),
            in_flight: 0,
            active_ms: 0,
            directions: [direction("read"), direction("write")],
        }
    }

    fn update(&mut self, columns: Columns) {
        for ((_, did), columns) in self.directions.iter_mut().zip(columns.chunks(4)) {
            let &[operations, merged, sectors, spent_ms] = columns else { return };
            *did = Direction { operations, merged, sectors, spent_ms };
        }
        let [.., in_flight, active_ms] = columns;
        (self.in_flight, self.active_ms) = (in_flight, active_ms);
    }
}

fn seconds(ms: u64) -> f64 {
    ms as f64 / 1e3
}

#[cfg(test)]
mod tests;
