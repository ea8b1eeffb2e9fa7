//! What was said of connections.

use anyhow::{Context, Result};

use super::{Check, EXECUTABLE, check, of, short};
use crate::vm::{exposition::Exposition, transcript::Part};

/// The process that connects, which is the name of its part, and the one that is connected to.
pub(super) const BY_TCP: [&str; 2] = ["caller", "server"];
/// The same by MPTCP.
pub(super) const BY_MPTCP: [&str; 2] = ["mptcp-caller", "mptcp-server"];
/// The same by TCP Fast Open, each request by a connection of its own; and how many, and the bytes of each.
pub(super) const BY_FAST_OPEN: [&str; 2] = ["fast-caller", "fast-server"];
const FAST: f64 = 10.0;
const FAST_BYTES: f64 = 8.0 + 992.0;
/// What the caller sends and receives, as init.sh has it do: each request begins with eight bytes.
const SENT: f64 = 30.0 * (8.0 + 1000.0);
const RECEIVED: f64 = 30.0 * 3000.0;

/// Both ends of a connection count what it carried, and how long they waited for it; and processes
/// together are what services are.
pub(super) fn connection(
    [caller, server]: [&str; 2],
    after: &Exposition,
    part: &Part,
) -> Result<Check> {
    let took = part.done()?.iter().sum::<f64>() / 1e9;
    let bytes = |name, way| {
        let labels = [(EXECUTABLE, name), ("network_io_direction", way)];
        after.sum("monitor_process_tcp_io_bytes_total", &labels)
    };
    let carried = [
        bytes(caller, "transmit"),
        bytes(caller, "receive"),
        bytes(server, "receive"),
        bytes(server, "transmit"),
    ];
    let opened = [caller, server]
        .map(|name| of(after, "monitor_process_tcp_connections_opened_total", name));
    let waited = |what: &str, part: &str, name| {
        of(after, &format!("monitor_process_tcp_{what}_latency_seconds_{part}"), name)
    };
    let connected = waited("connect", "sum", caller);
    let counts = [waited("connect", "count", caller), waited("accept", "count", server)];
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
    Ok(check(format!("connection of {caller}"), holds, found))
}

/// What the kernel counted was a connection by MPTCP.
pub(super) fn is_mptcp(part: &Part) -> Result<Check> {
    let count = kernel_counted(part, "MPTcpExt:", "MPCapableSYNACKRX")?;
    Ok(check("MPTCP", count == 1.0, format!("{count} connections by the kernel's count")))
}

/// Requests by TCP Fast Open count, and a process that accepts before a connection is open has waited for less than
/// the client did.
pub(super) fn fast_open(after: &Exposition, part: &Part) -> Result<Check> {
    let passive = kernel_counted(part, "TcpExt:", "TCPFastOpenPassive")?;
    let took = part.done()?.iter().sum::<f64>() / 1e9;
    let [caller, server] = BY_FAST_OPEN;
    let received = after.sum(
        "monitor_process_tcp_io_bytes_total",
        &[(EXECUTABLE, server), ("network_io_direction", "receive")],
    );
    let opened = [caller, server]
        .map(|name| of(after, "monitor_process_tcp_connections_opened_total", name));
    let [accepts, waited] = ["count", "sum"].map(|what| {
        of(after, &format!("monitor_process_tcp_accept_latency_seconds_{what}"), server)
    });
    let holds = passive == FAST
        && received == FAST * FAST_BYTES
        && opened == [FAST; 2]
        && accepts == FAST
        && waited > 0.0
        && waited <= took;
    let found = format!(
        "{received} bytes received, opened {opened:?}, {accepts} accepted in {} s of the client's {}; \
         {passive} by the kernel's count",
        short(waited),
        short(took)
    );
    Ok(check("TCP Fast Open", holds, found))
}

/// A counter among those of a part.
fn kernel_counted(part: &Part, group: &str, name: &str) -> Result<f64> {
    let mut lines = part.text.lines().filter_map(|line| line.strip_prefix(group));
    let (names, counts) =
        lines.next().zip(lines.next()).with_context(|| format!("no counters {group}"))?;
    let mut counters = names.split_whitespace().zip(counts.split_whitespace());
    let found = counters.find(|(it, _)| *it == name);
    let (_, count) = found.with_context(|| format!("the kernel does not count {name}"))?;
    Ok(count.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLER: &str = BY_TCP[0];
    const SERVER: &str = BY_TCP[1];

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
            connection(BY_TCP, &scrape, &part).unwrap().result.is_ok()
        };
        let all = 2.0 * (SENT + RECEIVED);
        assert!(holds(RECEIVED, 0.001, all));
        assert!(!holds(RECEIVED - 1.0, 0.001, all - 1.0), "a byte is missing");
        assert!(!holds(RECEIVED, 0.003, all), "longer than it took");
        assert!(!holds(RECEIVED, 0.0, all), "in no time");
        assert!(!holds(RECEIVED, 0.001, all + 1.0), "a byte is nobody's");
    }

    #[test]
    fn connections_by_mptcp_are_counted_by_the_kernel() {
        let text = "done 7\nMPTcpExt: A MPCapableSYNACKRX B\nMPTcpExt: 0 1 0\n".to_owned();
        let holds = |text: String| is_mptcp(&Part { text, code: 0 }).unwrap().result.is_ok();
        assert!(holds(text.clone()));
        assert!(!holds(text.replace("0 1 0", "1 0 1")), "fell back to TCP");
    }

    #[test]
    fn fast_open_counts_the_first_segment_and_no_wait_of_the_listener() {
        let text = "done 1000000 1000000\nTcpExt: A TCPFastOpenPassive\nTcpExt: 0 10\n".to_owned();
        let part = Part { text, code: 0 };
        let holds = |received: f64, waited: f64| {
            let [caller, server] = BY_FAST_OPEN;
            let text = format!(
                "monitor_process_tcp_io_bytes_total{{{EXECUTABLE}=\"{server}\",\
                 network_io_direction=\"receive\"}} {received}\n\
                 monitor_process_tcp_connections_opened_total{{{EXECUTABLE}=\"{caller}\"}} 10\n\
                 monitor_process_tcp_connections_opened_total{{{EXECUTABLE}=\"{server}\"}} 10\n\
                 monitor_process_tcp_accept_latency_seconds_count{{{EXECUTABLE}=\"{server}\"}} 10\n\
                 monitor_process_tcp_accept_latency_seconds_sum{{{EXECUTABLE}=\"{server}\"}} {waited}\n"
            );
            fast_open(&Exposition::parse(&text).unwrap(), &part).unwrap().result.is_ok()
        };
        assert!(holds(10_000.0, 0.001));
        assert!(!holds(9_000.0, 0.001), "a first segment is missing");
        assert!(!holds(10_000.0, 1.0), "since it listens");
    }
}
