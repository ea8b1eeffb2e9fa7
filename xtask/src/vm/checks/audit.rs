//! What the self-audit found on a machine's kernel: its table, a check for each row.

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Check, check};
use crate::vm::transcript::Part;

/// The part that it prints.
pub(super) const NAME: &str = "audit";

/// Comparisons of the host and of each disk that the work beside it gives something to compare.
const OF_HOST: [&str; 6] = [
    "context_switches",
    "process_context_switches",
    "runs",
    "forks",
    "page_faults",
    "server_connections_opened",
];
const OF_DISKS: [&str; 4] = ["reads", "writes", "bytes_read", "bytes_written"];
/// By how much figures may differ that are too small for the audit to judge: requests or connections that a
/// program makes in one go, which may happen while the counters are read before and after.
const REQUESTS: f64 = 40.0;
const REQUEST_BYTES: f64 = 4096.0;

/// No row deviates, and what there was work for agrees, with rows for each of the disks.
pub(super) fn rows(part: &Part, disks: &[&str]) -> Result<Vec<Check>> {
    let report: Value = serde_json::from_str(part.text.trim())
        .with_context(|| format!("the audit prints no JSON: {}", part.text.trim()))?;
    let rows = report["audit"].as_array().context("the audit has no rows")?;
    let mut checks = vec![check("audit", part.code == 0, format!("exit code {}", part.code))];
    for row in rows {
        let [counter, device, source, result] =
            ["counter", "device", "source", "result"].map(|key| row[key].as_str().unwrap_or(""));
        let name = format!("audit: {counter} {device}");
        let [measured, reference] =
            ["measured", "reference"].map(|key| row[key].as_f64().unwrap_or(f64::NAN));
        let bytes = if counter.starts_with("bytes") { REQUEST_BYTES } else { 1.0 };
        let is_near = reference > 0.0 && (measured - reference).abs() <= REQUESTS * bytes;
        let has_work = OF_HOST.contains(&counter) || OF_DISKS.contains(&counter);
        let holds = match result {
            "agrees" => true,
            "too_little" => is_near || !has_work,
            _ => false,
        };
        let found = format!("{measured} of {reference} ({source}): {result}");
        checks.push(check(name.trim_end(), holds, found));
    }
    let of_disks = disks.iter().flat_map(|disk| OF_DISKS.map(|counter| (counter, *disk)));
    let is_missing = |(counter, device): &(&str, &str)| {
        let is_it = |row: &Value| {
            row["counter"] == *counter && row["device"].as_str().unwrap_or("") == *device
        };
        !rows.iter().any(is_it)
    };
    let wanted = OF_HOST.map(|counter| (counter, "")).into_iter().chain(of_disks);
    let missing: Vec<_> = wanted.filter(is_missing).collect();
    checks.push(check("audit: missing rows", missing.is_empty(), format!("{missing:?}")));
    Ok(checks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISKS: [&str; 2] = ["vda", "nvme2n1"];

    #[test]
    fn deviations_and_missing_rows_are_failures() {
        let row = |counter: &str, device: &str, measured: u32, result: &str| {
            format!(
                "{{\"counter\": \"{counter}\", \"device\": \"{device}\", \
                 \"measured\": {measured}, \"reference\": 100, \"source\": \"f\", \"result\": \"{result}\"}}"
            )
        };
        let all = |measured, result: &str| -> Vec<String> {
            let of_disk = |disk| OF_DISKS.map(|counter| row(counter, disk, measured, "too_little"));
            let of_disks = DISKS.iter().flat_map(|disk| of_disk(disk));
            OF_HOST
                .map(|counter| row(counter, "", 100, result))
                .into_iter()
                .chain(of_disks)
                .collect()
        };
        let holds = |rows: &[String], code| {
            let text = format!("{{\"audit\": [{}]}}", rows.join(","));
            let checks = super::rows(&Part { text, code }, &DISKS).unwrap();
            checks.iter().all(|check| check.result.is_ok())
        };
        assert!(holds(&all(100, "agrees"), 0));
        assert!(!holds(&all(100, "agrees"), 1));
        assert!(!holds(&all(100, "deviates"), 0));
        assert!(holds(&all(100, "too_little"), 0));
        assert!(!holds(&all(59, "agrees"), 0));
        assert!(!holds(&all(100, "agrees")[1..], 0));
        assert!(rows(&Part { text: "error".to_owned(), code: 1 }, &DISKS).is_err());
    }
}
