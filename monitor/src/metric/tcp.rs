//! Metrics of the `tcp` probe: each for groups of processes, and for the services they talk to.

use super::{
    DNS_LATENCY, DNS_QUESTIONS, DNS_TIMEOUTS, Kind, MetricDesc, PROCESS_DNS_LATENCY,
    PROCESS_DNS_QUESTIONS, PROCESS_DNS_TIMEOUTS, PROCESS_UDP_DATAGRAMS, PROCESS_UDP_IO,
};

/// Every metric of the probe.
pub(super) const TCP_ALL: &[&MetricDesc] = &[
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
    &PROCESS_DNS_QUESTIONS,
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
    &DNS_QUESTIONS,
    &DNS_TIMEOUTS,
];

/// What tells services apart.
macro_rules! service {
    ($($attribute:literal),*) => {
        &["server.address", "server.port", "monitor.tcp.role" $(, $attribute)*]
    };
}

/// Declares a metric of groups, and the same of services.
macro_rules! pair {
    (
        $process:ident $process_name:literal [$($attribute:literal),*],
        $service:ident $service_name:literal [$($more:literal),*],
        $kind:ident $unit:literal, $source:literal, $help:literal
    ) => {
        #[doc = concat!($help, "; by process group.")]
        pub static $process: MetricDesc = MetricDesc {
            name: $process_name,
            unit: $unit,
            kind: Kind::$kind,
            attributes: &[$($attribute),*],
            help: $help,
            source: $source,
        };
        #[doc = concat!($help, "; by service.")]
        pub static $service: MetricDesc = MetricDesc {
            name: $service_name,
            unit: $unit,
            kind: Kind::$kind,
            attributes: service!($($more),*),
            help: concat!(
                $help,
                "; by the listening end of the connections, in whatever network namespace it is, \
                 `(other)` for the services that are too many, `(retired)` for what those counted that \
                 had to make room. The sum is that of ",
                $process_name
            ),
            source: $source,
        };
    };
}

pair!(
    PROCESS_TCP_CONNECT_LATENCY "monitor.process.tcp.connect.latency" [],
    TCP_CONNECT_LATENCY "monitor.tcp.connect.latency" [],
    Histogram "s",
    "inet_sock_set_state",
    "Time from the first segment of a connection that a process opens until it is open"
);

pair!(
    PROCESS_TCP_ACCEPT_LATENCY "monitor.process.tcp.accept.latency" [],
    TCP_ACCEPT_LATENCY "monitor.tcp.accept.latency" [],
    Histogram "s",
    "inet_sock_set_state to inet_accept or mptcp_stream_accept",
    "Time that an open connection waits for the process that listens to accept it"
);

pair!(
    PROCESS_TCP_RTT "monitor.process.tcp.rtt" [],
    TCP_RTT "monitor.tcp.rtt" [],
    Histogram "s",
    "tcp_sock.srtt_us at sock_send_length, sock_recv_length, tcp_retransmit_skb and inet_sock_set_state",
    "Smoothed round-trip time of each connection used in a tick, as of its last use; of MPTCP that of the first subflow"
);

pair!(
    PROCESS_TCP_IO "monitor.process.tcp.io" ["network.io.direction"],
    TCP_IO "monitor.tcp.io" ["network.io.direction"],
    Counter "By",
    "tcp_sock.write_seq, bytes_sent, bytes_retrans and bytes_received at sock_send_length, sock_recv_length, tcp_retransmit_skb and inet_sock_set_state; of MPTCP the lengths of messages",
    "Bytes that processes handed to connections to send, and bytes received, without headers and retransmissions; what was received and not read yet counts at the next use or the end of the connection"
);

pair!(
    PROCESS_TCP_RETRANSMITS "monitor.process.tcp.retransmits" [],
    TCP_RETRANSMITS "monitor.tcp.retransmits" [],
    Counter "{segment}",
    "tcp_sock.total_retrans at tcp_retransmit_skb; tcp_retransmit_synack",
    "Retransmitted segments"
);

pair!(
    PROCESS_TCP_RESETS "monitor.process.tcp.resets" ["network.io.direction"],
    TCP_RESETS "monitor.tcp.resets" ["network.io.direction"],
    Counter "{segment}",
    "tcp_send_reset and tcp_receive_reset",
    "Segments that end a connection at once, or refuse one; before Linux 6.10 refusals that this host sends for ports without a listener are not seen"
);

pair!(
    PROCESS_TCP_ACTIVE "monitor.process.tcp.connections.active" ["monitor.tcp.role"],
    TCP_ACTIVE "monitor.tcp.connections.active" [],
    UpDownCounter "{connection}",
    "inet_sock_set_state, and an iter/task_file pass at the start",
    "Open connections; those that wait to be accepted count for the process that listens"
);

pair!(
    PROCESS_TCP_OPENED "monitor.process.tcp.connections.opened" ["monitor.tcp.role"],
    TCP_OPENED "monitor.tcp.connections.opened" [],
    Counter "{connection}",
    "inet_sock_set_state",
    "Connections opened; those of a server count for the process that accepts them, once it does"
);

pair!(
    PROCESS_TCP_CLOSED "monitor.process.tcp.connections.closed" ["monitor.tcp.role"],
    TCP_CLOSED "monitor.tcp.connections.closed" [],
    Counter "{connection}",
    "inet_sock_set_state",
    "Connections that were open and ended"
);

pair!(
    PROCESS_TCP_FAILED "monitor.process.tcp.connections.failed" ["error.type"],
    TCP_FAILED "monitor.tcp.connections.failed" ["error.type"],
    Counter "{connection}",
    "inet_sock_set_state",
    "Failed connection attempts: refused, timed_out, unreachable, aborted by the process, address_not_available without a free local port, or _OTHER; those that fail before a connection is begun, as there is no route, are not among them"
);
