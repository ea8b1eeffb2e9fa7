//! Metrics of the `tcp` probe for UDP, and for questions of names.

use super::{Kind, MetricDesc};

/// Where datagrams are counted.
const DATAGRAMS: &str = "udp_sendmsg, udpv6_sendmsg, udp_recvmsg and udpv6_recvmsg, or where the \
     kernel has no programs at functions, sock_send_length and sock_recv_length";

/// Bytes by UDP, by process group.
pub static PROCESS_UDP_IO: MetricDesc = MetricDesc {
    name: "monitor.process.udp.io",
    unit: "By",
    kind: Kind::Counter,
    attributes: &["network.io.direction"],
    help: "Bytes that processes send and receive by UDP, without headers. What tunnels of the kernel \
           carry is not among them",
    source: DATAGRAMS,
};

/// Datagrams, by process group.
pub static PROCESS_UDP_DATAGRAMS: MetricDesc = MetricDesc {
    name: "monitor.process.udp.datagrams",
    unit: "{datagram}",
    kind: Kind::Counter,
    attributes: &["network.io.direction"],
    help: "Datagrams as processes send and receive them: several that one call hands to the kernel \
           as a whole, or gets from it (UDP_SEGMENT, UDP_GRO), count as one",
    source: DATAGRAMS,
};

/// Declares a metric of groups, and the same of servers of names.
macro_rules! pair {
    (
        $process:ident $process_name:literal, $server:ident $server_name:literal,
        $kind:ident $unit:literal, $help:literal
    ) => {
        #[doc = concat!($process_name, ", by process group.")]
        pub static $process: MetricDesc = MetricDesc {
            name: $process_name,
            unit: $unit,
            kind: Kind::$kind,
            attributes: &[],
            help: $help,
            source: DATAGRAMS,
        };
        #[doc = concat!($server_name, ", by server.")]
        pub static $server: MetricDesc = MetricDesc {
            name: $server_name,
            unit: $unit,
            kind: Kind::$kind,
            attributes: &["server.address", "server.port"],
            help: concat!(
                $help,
                "; by server, `(other)` for those that are too many, `(retired)` for what those \
                 counted that had to make room. The sum is that of ",
                $process_name
            ),
            source: DATAGRAMS,
        };
    };
}

pair!(
    PROCESS_DNS_LATENCY "monitor.process.dns.latency",
    DNS_LATENCY "monitor.dns.latency",
    Histogram "s",
    "Time from a DNS query to port 53 by UDP until the process has received the response, with the time \
     it took to get a CPU. A response is matched by the id of the message, or where the kernel has no \
     programs at functions, with the newest of up to 16 outstanding queries of its socket. Responses \
     after 5 s are timeouts and have no latency; duplicates are not counted. Queries by TCP, TLS and \
     HTTPS are not measured, nor those of sockets that are not connected where `monitor check` says so"
);

pair!(
    PROCESS_DNS_QUESTIONS "monitor.process.dns.questions",
    DNS_QUESTIONS "monitor.dns.questions",
    Counter "{question}",
    "Questions sent to port 53 by UDP. Those that the number of latencies lacks are not answered, or \
     not yet"
);

pair!(
    PROCESS_DNS_TIMEOUTS "monitor.process.dns.timeouts",
    DNS_TIMEOUTS "monitor.dns.timeouts",
    Counter "{query}",
    "DNS queries to port 53 by UDP without a response: the process has received none within 5 s, \
     whether it waited or not, or has sent the same query to the same server again. A query that one \
     of several servers has answered is none"
);
