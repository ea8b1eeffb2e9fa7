//! What was said of connections.

use anyhow::{Context, Result};

use super::{Check, EXECUTABLE, check, of, short};
use crate::vm::{exposition::Exposition, transcript::Part};

/// The process that connects, which is the name of its part, and the one that is connected to.
pub(super) const CALLER: &str = "caller";
const SERVER: &str = "server";
/// What the caller sends and receives, as init.sh has it do: each request begins with eight bytes.
const SENT: f64 = 30.0 * (8.0 + 1000.0);
const RECEIVED: f64 = 30.0 * 3000.0;

/// Both ends of a connection count what it carried, and how long they waited for it; and processes
/// together are what services are.
pub(super) fn connection(after: &Exposition, part: &Part) -> Result<Check> {
    let took = part.text.trim().strip_prefix("done ").context("the caller was not answered")?;
    let took = took.parse::<f64>()? / 1e9;
    let bytes = |name, way| {
        let labels = [(EXECUTABLE, name), ("network_io_direction", way)];
        after.sum("monitor_process_tcp_io_bytes_total", &labels)
    };
    let carried = [
        bytes(CALLER, "transmit"),
        bytes(CALLER, "receive"),
        bytes(SERVER, "receive"),
        bytes(SERVER, "transmit"),
    ];
    let opened = [CALLER, SERVER]
        .map(|name| of(after, "monitor_process_tcp_connections_opened_total", name));
    let waited = |what: &str, part: &str, name| {
        of(after, &format!("monitor_process_tcp_{what}_latency_seconds_{part}"), name)
    };
    let connected = waited("connect", "sum", CALLER);
    let counts = [waited("connect", "count", CALLER), waited("accept", "count", SERVER)];
    let all = |whose: &str| after.sum(&format!("monitor_{whose}tcp_io_bytes_total"), &[]);
    let (processes, services) = (all("process_"), all(""));
    let holds = carried == [SENT, RECEIVED, SENT, RECEIVED]
        && opened == [1.0; 2]
        && counts == [1.0; 2]
        && connected > 0.0
        && connected <= took
        && processes == services;
    let found = format!(
        "{carried:?} bytes at both ends, opened {opened:?}, connected and accepted {counts:?}, in {} s \
         of its own {}; {processes} bytes of processes, {services} of services",
        short(connected),
        short(took)
    );
    Ok(check("connection", holds, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_count_what_a_connection_carried() {
        let part = Part { text: "done 2000000\n".to_owned(), code: 0 };
        let holds = |received: f64, seconds: f64, services: f64| {
            let bytes = |name: &str, way: &str, bytes: f64| {
                let labels = format!("{EXECUTABLE}=\"{name}\",network_io_direction=\"{way}\"");
                format!("monitor_process_tcp_io_bytes_total{{{labels}}} {bytes}\n")
            };
            let one = |metric: &str, name: &str, value: f64| {
                format!("monitor_process_tcp_{metric}{{{EXECUTABLE}=\"{name}\"}} {value}\n")
            };
            let text = [
                bytes(CALLER, "transmit", SENT),
                bytes(CALLER, "receive", received),
                bytes(SERVER, "receive", SENT),
                bytes(SERVER, "transmit", RECEIVED),
                one("connections_opened_total", CALLER, 1.0),
                one("connections_opened_total", SERVER, 1.0),
                one("connect_latency_seconds_count", CALLER, 1.0),
                one("connect_latency_seconds_sum", CALLER, seconds),
                one("accept_latency_seconds_count", SERVER, 1.0),
                format!("monitor_tcp_io_bytes_total {services}\n"),
            ];
            let scrape = Exposition::parse(&text.concat()).unwrap();
            connection(&scrape, &part).unwrap().result.is_ok()
        };
        let all = 2.0 * (SENT + RECEIVED);
        assert!(holds(RECEIVED, 0.001, all));
        assert!(!holds(RECEIVED - 1.0, 0.001, all - 1.0), "a byte is missing");
        assert!(!holds(RECEIVED, 0.003, all), "longer than it took");
        assert!(!holds(RECEIVED, 0.0, all), "in no time");
        assert!(!holds(RECEIVED, 0.001, all + 1.0), "a byte is nobody's");
    }
}
