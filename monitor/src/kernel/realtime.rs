//! Storage on kernels with PREEMPT_RT.
//!
//! There the general allocator takes locks that may sleep, and programs at tracepoints run where
//! nothing may sleep. Whether the kernel makes storage without that allocator shows in its types.

use std::fs;

use aya::{
    Ebpf,
    maps::{Map, MapType},
};

use super::btf::Types;

/// Members that the kernel's description of a storage map has once it makes elements of every kind,
/// and those of tasks, without the general allocator.
const FOR_ALL: &str = "bpf_local_storage_map.use_kmalloc_nolock";
const FOR_TASKS: &str = "bpf_local_storage_map.selem_ma";

/// Whether the running kernel has PREEMPT_RT.
pub(super) fn is_on() -> bool {
    fs::read_to_string("/proc/version").is_ok_and(|version| has_realtime(&version))
}

fn has_realtime(version: &str) -> bool {
    version.split_whitespace().any(|word| word == "PREEMPT_RT")
}

/// The kind of storage that an object has and that such a kernel cannot make.
pub(super) fn unsafe_storage(types: &Types, ebpf: &Ebpf) -> Option<&'static str> {
    let mut maps = ebpf.maps().map(|(_, map)| match map {
        Map::SkStorage(_) => Some(("socket", FOR_ALL)),
        Map::Unsupported(data) => {
            let kind = data.info().and_then(|info| info.map_type()).ok();
            (kind == Some(MapType::TaskStorage)).then_some(("task", FOR_TASKS))
        }
        _ => None,
    });
    maps.find_map(|storage| {
        let (what, member) = storage?;
        let is_safe = [FOR_ALL, member].iter().any(|path| types.member(path).is_some());
        (!is_safe).then_some(what)
    })
}

#[cfg(test)]
mod tests {
    use super::has_realtime;

    #[test]
    fn realtime_kernels_say_so() {
        let version = |kind| format!("Linux version 6.1.0 (a@b) (gcc) #1 SMP {kind} Debian 6.1.1");
        assert!(has_realtime(&version("PREEMPT_RT")));
        assert!(!has_realtime(&version("PREEMPT_DYNAMIC")));
    }
}
