//! What the log store has: VictoriaLogs, which takes logs by OTLP as Loki does.

use std::net::SocketAddr;

use monitor_backends::http;
use serde_json::Value;

use super::prometheus::encoded;

/// A record: its fields by name, all of them text. `_time` is its time and `_msg` its body; those of the
/// resource and the attributes have their own names.
pub(crate) type Record = Value;

/// Records of the daemon that have these fields.
pub(crate) fn find(logs: SocketAddr, fields: &[(&str, &str)]) -> Vec<Record> {
    let filters = [("service.name", "monitor")].iter().chain(fields);
    let filters: Vec<_> = filters.map(|(name, value)| format!("{name:?}:={value:?}")).collect();
    query(logs, &filters.join(" "))
}

/// Records that a query in LogsQL finds.
pub(crate) fn query(logs: SocketAddr, query: &str) -> Vec<Record> {
    let path = format!("/select/logsql/query?query={}", encoded(query));
    let answer = http::get(logs, &path).unwrap_or_else(|error| panic!("{query}: {error:#}"));
    let record =
        |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    answer.lines().map(record).collect()
}

/// A field of a record that has it.
pub(crate) fn text<'a>(record: &'a Record, name: &str) -> &'a str {
    record[name].as_str().unwrap_or_else(|| panic!("no {name} in {record}"))
}

/// The time of a record since 1970, in nanoseconds.
pub(crate) fn time_ns(record: &Record) -> u64 {
    // Such as 2026-01-31T12:34:56.123456789Z.
    let text = text(record, "_time");
    let parts: Vec<&str> = text.split(['-', 'T', ':', '.', 'Z']).collect();
    let [year, month, day, hour, minute, second, rest @ ..] = &parts[..] else {
        panic!("{text} is no time")
    };
    let [year, month, day, hour, minute, second] = [year, month, day, hour, minute, second]
        .map(|part| part.parse::<u64>().unwrap_or_else(|error| panic!("{text}: {error}")));
    let fraction = format!("{:0<9}", rest.first().copied().unwrap_or_default());
    // Years that begin in March end with the day that only some have.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    seconds * 1_000_000_000 + fraction.parse::<u64>().expect("nine digits")
}
