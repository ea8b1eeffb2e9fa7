//! Metrics of the `net` probe: each for process groups, and those of connections and DNS queries for services too.

use super::{Kind, MetricDesc, pair};

/// Every metric of the probe.
pub(crate) const NET_ALL: &[&MetricDesc] = &[
    &PROCESS_TCP_CONNECT_LATENCY,
    &PROCESS_TCP_ACCEPT_LATENCY,
    &PROCESS_TCP_RTT,
    &PROCESS_TCP_IO,
    &PROCESS_TCP_RETRANSMITS,
    &PROCESS_TCP_RESETS,
    &PROCESS_TCP_ACTIVE,
    &PROCESS_TCP_OPENED,
    &PROCESS_TCP_CLOSED,
    &PROCESS_TCP_FAILED,
    &PROCESS_UDP_IO,
    &PROCESS_UDP_DATAGRAMS,
    &PROCESS_DNS_LATENCY,
    &PROCESS_DNS_QUERIES,
    &PROCESS_DNS_TIMEOUTS,
    &TCP_CONNECT_LATENCY,
    &TCP_ACCEPT_LATENCY,
    &TCP_RTT,
    &TCP_IO,
    &TCP_RETRANSMITS,
    &TCP_RESETS,
    &TCP_ACTIVE,
    &TCP_OPENED,
    &TCP_CLOSED,
    &TCP_FAILED,
    &DNS_LATENCY,
    &DNS_QUERIES,
    &DNS_TIMEOUTS,
];

/// Origin of what is counted of datagrams.
const DATAGRAMS: &str = "udp_sendmsg, udpv6_sendmsg, udp_recvmsg and udpv6_recvmsg, or without fentry/fexit \
     sock_send_length and sock_recv_length";

pair! {
    process: PROCESS_TCP_CONNECT_LATENCY "monitor.process.tcp.connect.latency" [],
    host: TCP_CONNECT_LATENCY "monitor.tcp.connect.latency"
        ["server.address", "server.port", "monitor.tcp.role"] ", per service",
    kind: Histogram "s",
    is_cost: true,
    help: "TCP connect latency: time from the first SYN of a client to the established connection",
    details: "",
    source: "inet_sock_set_state",
}

pair! {
    process: PROCESS_TCP_ACCEPT_LATENCY "monitor.process.tcp.accept.latency" [],
    host: TCP_ACCEPT_LATENCY "monitor.tcp.accept.latency"
        ["server.address", "server.port", "monitor.tcp.role"] ", per service",
    kind: Histogram "s",
    is_cost: true,
    help: "TCP accept latency: time that an established connection waits in the accept queue",
    details: "",
    source: "inet_sock_set_state to inet_accept or mptcp_stream_accept",
}

pair! {
    process: PROCESS_TCP_RTT "monitor.process.tcp.rtt" [],
    host: TCP_RTT "monitor.tcp.rtt" ["server.address", "server.port", "monitor.tcp.role"] ", per service",
    kind: Histogram "s",
    is_cost: false,
    help: "Smoothed round-trip time (srtt), one sample per used TCP connection and tick",
    details: "The value at the last use of the connection in the tick. For MPTCP, that of the first subflow.",
    source: "tcp_sock.srtt_us at sock_send_length, sock_recv_length, tcp_retransmit_skb and inet_sock_set_state",
}

pair! {
    process: PROCESS_TCP_IO "monitor.process.tcp.io" ["network.io.direction"],
    host: TCP_IO "monitor.tcp.io"
        ["server.address", "server.port", "monitor.tcp.role", "network.io.direction"] ", per service",
    kind: Counter "By",
    is_cost: false,
    help: "TCP payload bytes, without headers and retransmits",
    details: "Transmitted bytes count when the process hands them to the socket. Received bytes that the process has \
              not read yet count at the next use of the connection or at its end.",
    source: "tcp_sock.write_seq, bytes_sent, bytes_retrans and bytes_received at sock_send_length, sock_recv_length, \
             tcp_retransmit_skb and inet_sock_set_state; for MPTCP the lengths of messages",
}

pair! {
    process: PROCESS_TCP_RETRANSMITS "monitor.process.tcp.retransmits" [],
    host: TCP_RETRANSMITS "monitor.tcp.retransmits"
        ["server.address", "server.port", "monitor.tcp.role"] ", per service",
    kind: Counter "{segment}",
    is_cost: false,
    help: "Retransmitted TCP segments",
    details: "",
    source: "tcp_sock.total_retrans at tcp_retransmit_skb; tcp_retransmit_synack",
}

pair! {
    process: PROCESS_TCP_RESETS "monitor.process.tcp.resets" ["network.io.direction"],
    host: TCP_RESETS "monitor.tcp.resets"
        ["server.address", "server.port", "monitor.tcp.role", "network.io.direction"] ", per service",
    kind: Counter "{segment}",
    is_cost: false,
    help: "TCP resets (RST) sent and received",
    details: "Before Linux 6.10, resets that this host sends for ports without a listener are not included.",
    source: "tcp_send_reset and tcp_receive_reset",
}

pair! {
    process: PROCESS_TCP_ACTIVE "monitor.process.tcp.connections.active" ["monitor.tcp.role"],
    host: TCP_ACTIVE "monitor.tcp.connections.active"
        ["server.address", "server.port", "monitor.tcp.role"] ", per service",
    kind: UpDownCounter "{connection}",
    is_cost: false,
    help: "Open TCP connections",
    details: "A connection in the accept queue counts for the listening process.",
    source: "inet_sock_set_state, and an iter/task_file pass at the start",
}

pair! {
    process: PROCESS_TCP_OPENED "monitor.process.tcp.connections.opened" ["monitor.tcp.role"],
    host: TCP_OPENED "monitor.tcp.connections.opened"
        ["server.address", "server.port", "monitor.tcp.role"] ", per service",
    kind: Counter "{connection}",
    is_cost: false,
    help: "Established TCP connections",
    details: "Those of a server count for the process that accepts them, once it does.",
    source: "inet_sock_set_state",
}

pair! {
    process: PROCESS_TCP_CLOSED "monitor.process.tcp.connections.closed" ["monitor.tcp.role"],
    host: TCP_CLOSED "monitor.tcp.connections.closed"
        ["server.address", "server.port", "monitor.tcp.role"] ", per service",
    kind: Counter "{connection}",
    is_cost: false,
    help: "TCP connections closed after they were established",
    details: "",
    source: "inet_sock_set_state",
}

pair! {
    process: PROCESS_TCP_FAILED "monitor.process.tcp.connections.failed" ["error.type"],
    host: TCP_FAILED "monitor.tcp.connections.failed"
        ["server.address", "server.port", "monitor.tcp.role", "error.type"] ", per service",
    kind: Counter "{connection}",
    is_cost: false,
    help: "Failed TCP connection attempts by error type",
    details: "`error.type` is `refused`, `timed_out`, `unreachable`, `aborted` (by the process), \
              `address_not_available` (no free local port) or `_OTHER`. Attempts that fail before the first SYN, such \
              as without a route, are not included.",
    source: "inet_sock_set_state",
}

/// Bytes by UDP, by process group.
pub static PROCESS_UDP_IO: MetricDesc = MetricDesc {
    name: "monitor.process.udp.io",
    unit: "By",
    kind: Kind::Counter,
    attributes: &["network.io.direction"],
    help: "UDP payload bytes, without headers",
    details: "What tunnels of the kernel carry is not included.",
    source: DATAGRAMS,
    ..MetricDesc::BASE
};

/// Datagrams, by process group.
pub static PROCESS_UDP_DATAGRAMS: MetricDesc = MetricDesc {
    name: "monitor.process.udp.datagrams",
    unit: "{datagram}",
    kind: Kind::Counter,
    attributes: &["network.io.direction"],
    help: "UDP datagrams sent and received",
    details: "Several datagrams that one system call hands over as a whole (UDP_SEGMENT, UDP_GRO) count as one.",
    source: DATAGRAMS,
    ..MetricDesc::BASE
};

pair! {
    process: PROCESS_DNS_LATENCY "monitor.process.dns.latency" [],
    host: DNS_LATENCY "monitor.dns.latency" ["server.address", "server.port"] ", per server",
    kind: Histogram "s",
    is_cost: true,
    help: "DNS latency: time from a DNS query to its response, UDP port 53",
    details: "The time until the process has received the response, including its wait for a CPU. A response is \
              matched by the id of the message, or without fentry/fexit with the newest of up to 16 outstanding \
              queries of its socket. Responses after 5 s are timeouts and have no latency; duplicates are not counted. \
              Queries by TCP, TLS and HTTPS are not measured, nor those of unconnected sockets where `monitor check` \
              says so.",
    source: DATAGRAMS,
}

pair! {
    process: PROCESS_DNS_QUERIES "monitor.process.dns.queries" [],
    host: DNS_QUERIES "monitor.dns.queries" ["server.address", "server.port"] ", per server",
    kind: Counter "{query}",
    is_cost: false,
    help: "DNS queries sent, UDP port 53",
    details: "What the count of monitor.process.dns.latency lacks are queries without a response, or with none yet.",
    source: DATAGRAMS,
}

pair! {
    process: PROCESS_DNS_TIMEOUTS "monitor.process.dns.timeouts" [],
    host: DNS_TIMEOUTS "monitor.dns.timeouts" ["server.address", "server.port"] ", per server",
    kind: Counter "{query}",
    is_cost: false,
    help: "DNS queries without a response in 5 s, or sent again before a response, UDP port 53",
    details: "A query counts whether or not the process still waits. `Sent again` is the same query to the same \
              server. A query to several servers that one of them has answered is no timeout.",
    source: DATAGRAMS,
}
