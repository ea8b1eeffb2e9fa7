//! What docs/principles.md promises of the memory that the kernel holds.

use std::collections::BTreeMap;

use monitor_tests::{
    daemon::program::{Daemon, clean, executable},
    serial, sys,
};

use super::scrape::Scrape;

const PAGE: &str = include_str!("../../../docs/principles.md");
/// What the kernel takes for a map beside its entries.
const OVERHEAD: f64 = 512.0;

/// A row of the table.
struct Row<'a> {
    probes: &'a str,
    maps: &'a str,
    /// At most so many bytes; nothing where they depend on the host.
    bytes: Option<f64>,
}

fn rows() -> impl Iterator<Item = Row<'static>> {
    PAGE.lines().filter_map(|line| {
        let cells: Vec<_> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
        let [probes, maps, _, most, ""] = cells[..] else { return None };
        let mut words = most.split(' ');
        let number: f64 = words.next()?.parse().ok()?;
        let unit = match words.next()? {
            "KiB" => 1024.0,
            "MiB" => 1024.0 * 1024.0,
            _ => 1.0,
        };
        let bytes = match words.collect::<Vec<_>>()[..] {
            [] => Some(number * unit),
            ["a", "CPU"] => Some(number * unit * sys::cpus().len() as f64),
            _ => None,
        };
        Some(Row { probes, maps, bytes })
    })
}

#[test]
fn the_page_has_every_map_and_what_it_takes() {
    let _serial = serial();
    let daemon = Daemon::configured(clean(executable()), "[probes]\nfaults = true\n", []);
    daemon.wait_ready();
    let scrape = Scrape::text(&daemon);
    let mut sizes: BTreeMap<(String, String), f64> = BTreeMap::new();
    for ((name, labels), bytes) in &scrape.series {
        let map = labels.get("monitor_map").filter(|map| !map.starts_with('.'));
        if let (Some(map), "monitor_agent_map_size_bytes") = (map, &**name) {
            sizes.insert((labels["monitor_probe"].clone(), map.clone()), *bytes);
        }
    }
    assert!(sizes.len() > 20, "{sizes:?}");
    for (probe, map) in sizes.keys() {
        // The first name in a row follows what every row begins with.
        let is_in = |text: &str, name: &str| text.split(['`', ',', ' ']).any(|it| it == name);
        let mut found = rows().filter(|row| is_in(row.probes, probe) && is_in(row.maps, map));
        let row = found.next().unwrap_or_else(|| panic!("no row has {map} of {probe}"));
        assert!(found.next().is_none(), "{map} of {probe} is in two rows");
        let Some(most) = row.bytes else { continue };
        let of_row = sizes.iter().filter(|((it, map), _)| it == probe && is_in(row.maps, map));
        let took: f64 = of_row.map(|(_, bytes)| bytes).sum();
        assert!(took <= most + OVERHEAD, "{} of {probe} take {took} of {most} bytes", row.maps);
    }
}
