use std::fs;

use super::*;
use crate::host::tests::{output, read, value};

/// A line of `/proc/meminfo` in bytes.
fn meminfo(key: &str) -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{key}:"))).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

fn state(state: &str) -> String {
    format!("system.memory.state={state}")
}

/// How much of the memory others may take or give back between two readings.
const SLACK: f64 = 0.02;

#[test]
fn memory_is_what_the_kernel_says() {
    let values = read(&mut Memory::new(&HostPaths::default()).unwrap());
    let total = meminfo("MemTotal");
    assert_eq!(value(&values, &metric::SYSTEM_MEMORY_LIMIT, ""), total);
    let slab = "system.memory.linux.slab.state=";
    for (metric, attributes, bytes) in [
        (&metric::SYSTEM_MEMORY_USAGE, state("used"), total - meminfo("MemAvailable")),
        (&metric::SYSTEM_MEMORY_USAGE, state("free"), meminfo("MemFree")),
        (&metric::SYSTEM_MEMORY_USAGE, state("cached"), meminfo("Cached")),
        (&metric::SYSTEM_MEMORY_USAGE, state("buffers"), meminfo("Buffers")),
        (&metric::SYSTEM_MEMORY_LINUX_AVAILABLE, "".into(), meminfo("MemAvailable")),
        (&metric::SYSTEM_MEMORY_LINUX_SHARED, "".into(), meminfo("Shmem")),
        (
            &metric::SYSTEM_MEMORY_LINUX_SLAB_USAGE,
            format!("{slab}reclaimable"),
            meminfo("SReclaimable"),
        ),
        (
            &metric::SYSTEM_MEMORY_LINUX_SLAB_USAGE,
            format!("{slab}unreclaimable"),
            meminfo("SUnreclaim"),
        ),
    ] {
        let told = value(&values, metric, &attributes);
        assert!(
            (told - bytes).abs() < SLACK * total,
            "{} {attributes}: {told} and {bytes}",
            metric.name
        );
    }
    for name in ["used", "free", "cached", "buffers"] {
        let bytes = value(&values, &metric::SYSTEM_MEMORY_USAGE, &state(name));
        let share = value(&values, &metric::SYSTEM_MEMORY_UTILIZATION, &state(name));
        assert_eq!(share, bytes / total);
    }
}

#[test]
fn free_agrees() {
    let values = read(&mut Memory::new(&HostPaths::default()).unwrap());
    let lines = output("free", &["--bytes"]);
    let columns = |row: &str| -> Vec<f64> {
        let line = lines.lines().find(|line| line.starts_with(row)).unwrap();
        line.split_whitespace().skip(1).map(|column| column.parse().unwrap()).collect()
    };
    let [memory, swap] = [columns("Mem:"), columns("Swap:")];
    assert_eq!(value(&values, &metric::SYSTEM_MEMORY_LIMIT, ""), memory[0]);
    let available = value(&values, &metric::SYSTEM_MEMORY_LINUX_AVAILABLE, "");
    assert!((available - memory[5]).abs() < SLACK * memory[0]);

    let paging = |state| {
        let state = format!("system.paging.state={state}");
        value(&values, &metric::SYSTEM_PAGING_USAGE, &state)
    };
    assert_eq!(paging("used") + paging("free"), swap[0]);
    let utilisation = values.keys().any(|(name, _)| *name == "system.paging.utilization");
    assert_eq!(utilisation, swap[0] > 0.0, "a share of no swap space is absent");
}
