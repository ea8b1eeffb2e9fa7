//! Waiting until every program that was running has ended.
//!
//! Programs run as RCU readers: at tracepoints, also at those that leave preemption on, at functions,
//! for perf events and in passes. The kernel waits for an RCU grace period at each update of a map of
//! maps, so that userspace knows that no program uses the map that was there before. That holds on every
//! kernel, with one CPU and with isolated (`nohz_full`) ones, where `membarrier` does not wait. It takes
//! some milliseconds and next to no CPU time, but seconds where processes end by the thousand in each:
//! it stands in line with what they leave to the kernel, the tick is late, and nothing is lost.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd},
    sync::OnceLock,
};

use super::bpf;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;

/// What `BPF_MAP_CREATE` takes.
#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    inner_map: u32,
}

/// What `BPF_MAP_UPDATE_ELEM` takes.
#[repr(C)]
struct MapUpdate {
    map: u32,
    unused: u32,
    /// Address of the key.
    key: u64,
    /// Address of the value.
    value: u64,
    flags: u64,
}

/// A map with one entry, and the map that is in it.
struct Maps {
    outer: OwnedFd,
    inner: OwnedFd,
}

impl Maps {
    fn new() -> io::Result<Self> {
        let array =
            MapCreate { key_size: 4, value_size: 4, max_entries: 1, ..MapCreate::default() };
        let inner =
            bpf::open(BPF_MAP_CREATE, &MapCreate { map_type: BPF_MAP_TYPE_ARRAY, ..array })?;
        let outer = bpf::open(
            BPF_MAP_CREATE,
            &MapCreate {
                map_type: BPF_MAP_TYPE_ARRAY_OF_MAPS,
                inner_map: inner.as_raw_fd() as u32,
                ..array
            },
        )?;
        Ok(Self { outer, inner })
    }
}

/// Returns when every program that was running at the time of the call has ended.
pub fn wait_for_programs() -> io::Result<()> {
    static MAPS: OnceLock<Maps> = OnceLock::new();
    let maps = match MAPS.get() {
        Some(maps) => maps,
        None => {
            let made = Maps::new()?;
            MAPS.get_or_init(|| made)
        }
    };
    let (key, value) = (0_u32, maps.inner.as_raw_fd() as u32);
    let update = MapUpdate {
        map: maps.outer.as_raw_fd() as u32,
        unused: 0,
        key: &raw const key as u64,
        value: &raw const value as u64,
        flags: 0,
    };
    bpf::call(BPF_MAP_UPDATE_ELEM, &update).map(drop)
}
