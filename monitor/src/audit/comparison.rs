//! Which metric is compared with which counter of the kernel.

use std::collections::BTreeMap;

use super::counters::{Counter, File};
use crate::{
    metric::{
        BLOCK_IO, BLOCK_OPERATIONS, MEMORY_RECLAIM_LATENCY, MetricDesc, PROCESS_CONTEXT_SWITCHES,
        PROCESS_FORKS, PROCESS_MEMORY_FAULTS, PROCESS_OOM_KILLS, PROCESS_TCP_OPENED,
        PROCESS_TCP_RETRANSMITS, PROCESS_THREADS_CREATED, PROCESS_UDP_DATAGRAMS,
        SCHED_CONTEXT_SWITCHES, SCHED_RUNQUEUE_LATENCY,
    },
    view::{Point, Series},
};

/// A metric and the independent counter of the kernel that it has to agree with.
pub(super) struct Comparison {
    /// The probe that is degraded when they do not.
    pub(super) probe: &'static str,
    /// What is counted.
    pub(super) name: &'static str,
    /// The metric whose series are added up: their values, or how many durations they have.
    metric: &'static MetricDesc,
    /// Another one, where the kernel counts both in one.
    also: Option<&'static MetricDesc>,
    /// Only series with one of these values of an attribute.
    only: Option<(&'static str, &'static [&'static str])>,
    /// Hooks of which one has to be attached, where the probe also runs without.
    pub(super) hooks: &'static [&'static str],
    /// The attribute that tells apart what is compared one by one.
    subject: Option<&'static str>,
    /// The kernel's counter.
    pub(super) counter: Counter,
    /// The least and the most that may be measured, in parts of what the kernel counts; 1 where both count the
    /// same.
    pub(super) bounds: (f64, Option<f64>),
    /// By how much both may differ whatever the rest: what is under way when the banks are flipped.
    pub(super) slack: u64,
}

/// Beyond its bounds a comparison may deviate by this part of what the kernel counts.
pub(super) const TOLERANCE: f64 = 0.05;

const DIRECTION: &str = "disk.io.direction";
/// Requests to a device that may be counted on one side only, for a moment.
const REQUESTS: u64 = 32;
/// As many bytes, at what a large request has.
const REQUEST_BYTES: u64 = REQUESTS << 20;
/// Segments or datagrams that a moment may have.
const SEGMENTS: u64 = 100;
/// Switches, or runs, for a moment.
const SWITCHES: u64 = 1_000;
/// Processes and threads that may be created in a moment.
const FORKS: u64 = 32;
/// Faults during a pass over all tasks, which reads one task after the other.
const FAULTED: u64 = 10_000;
/// Major faults that may be under way: the kernel counts them as they begin.
const UNDER_WAY: u64 = 100;

/// The sum of some values in a file.
const fn counter((file, names): (File, &'static [&'static str])) -> Counter {
    Counter { file, names, except: &[], unit: 1 }
}

/// A comparison of sums over the whole host, where both sides count the same.
const fn host(
    probe: &'static str,
    name: &'static str,
    metric: &'static MetricDesc,
    source: (File, &'static [&'static str]),
    slack: u64,
) -> Comparison {
    Comparison {
        probe,
        name,
        metric,
        also: None,
        only: None,
        hooks: &[],
        subject: None,
        counter: counter(source),
        bounds: (1.0, Some(1.0)),
        slack,
    }
}

/// A comparison by device.
const fn block(
    name: &'static str,
    metric: &'static MetricDesc,
    directions: &'static [&'static str],
    column: &'static [&'static str],
    (unit, slack): (u64, u64),
) -> Comparison {
    let source = (File::Diskstats, column);
    Comparison {
        only: Some((DIRECTION, directions)),
        subject: Some("system.device"),
        counter: Counter { unit, ..counter(source) },
        ..host("block", name, metric, source, slack)
    }
}

const OPERATIONS: (u64, u64) = (1, REQUESTS);
/// The kernel counts in sectors of 512 bytes, whatever those of the device are.
const BYTES: (u64, u64) = (512, REQUEST_BYTES);

const SWITCHED: (File, &[&str]) = (File::Stat, &["ctxt"]);
const RETRANSMITTED: (File, &[&str]) = (File::Network, &["TcpRetransSegs"]);
const DATAGRAMS: (File, &[&str]) = (File::Network, &["UdpOutDatagrams", "Udp6OutDatagrams"]);
const RECEIVED: (File, &[&str]) = (File::Network, &["UdpInDatagrams", "Udp6InDatagrams"]);
const OPENED: (File, &[&str]) = (File::Network, &["TcpPassiveOpens"]);
/// Network namespaces without a process are not found, nor are those that ended in the round.
const AT_LEAST: (f64, Option<f64>) = (1.0, None);
const FAULTS: (File, &[&str]) = (File::Vmstat, &["pgfault"]);
const MAJOR_FAULTS: (File, &[&str]) = (File::Vmstat, &["pgmajfault"]);
const STALLED: (File, &[&str]) = (
    File::Vmstat,
    &["allocstall_dma", "allocstall_dma32", "allocstall_normal", "allocstall_movable"],
);

/// All of them.
pub(super) const COMPARISONS: &[Comparison] = &[
    host("sched", "context_switches", &SCHED_CONTEXT_SWITCHES, SWITCHED, SWITCHES),
    Comparison {
        // Idle tasks are no process. A CPU switches to its idle task as often as away from it, give or
        // take one, so at least half of all switches are away from processes.
        bounds: (0.5, Some(1.0)),
        ..host("sched", "process_context_switches", &PROCESS_CONTEXT_SWITCHES, SWITCHED, SWITCHES)
    },
    host("sched", "runs", &SCHED_RUNQUEUE_LATENCY, (File::Schedstat, &["runs"]), SWITCHES),
    Comparison {
        also: Some(&PROCESS_THREADS_CREATED),
        ..host("process", "forks", &PROCESS_FORKS, (File::Stat, &["processes"]), FORKS)
    },
    Comparison {
        // Before Linux 6.4 a fault that the kernel tries again counts twice there, and so does every major
        // one; later only faults that fail count for the kernel alone.
        bounds: (0.5, Some(1.0)),
        ..host("sched", "page_faults", &PROCESS_MEMORY_FAULTS, FAULTS, FAULTED)
    },
    Comparison {
        only: Some(("system.paging.fault.type", &["major"])),
        // Threads that wait for a page that one of them reads have a major fault each; the kernel counts one.
        bounds: AT_LEAST,
        ..host("sched", "major_faults", &PROCESS_MEMORY_FAULTS, MAJOR_FAULTS, UNDER_WAY)
    },
    block("reads", &BLOCK_OPERATIONS, &["read"], &["reads"], OPERATIONS),
    // A request that only flushes is a write to the kernel.
    block("writes", &BLOCK_OPERATIONS, &["write", "flush"], &["writes"], OPERATIONS),
    block("discards", &BLOCK_OPERATIONS, &["discard"], &["discards"], OPERATIONS),
    block("bytes_read", &BLOCK_IO, &["read"], &["sectors read"], BYTES),
    block("bytes_written", &BLOCK_IO, &["write"], &["sectors written"], BYTES),
    block("bytes_discarded", &BLOCK_IO, &["discard"], &["sectors discarded"], BYTES),
    Comparison {
        bounds: AT_LEAST,
        ..host("net", "retransmits", &PROCESS_TCP_RETRANSMITS, RETRANSMITTED, SEGMENTS)
    },
    Comparison {
        only: Some(("network.io.direction", &["transmit"])),
        // Of all sockets by one tracepoint, before Linux 6.3 by the ends of functions.
        hooks: &["send", "udp_sendmsg"],
        bounds: AT_LEAST,
        ..host("net", "udp_datagrams_sent", &PROCESS_UDP_DATAGRAMS, DATAGRAMS, SEGMENTS)
    },
    Comparison {
        only: Some(("network.io.direction", &["receive"])),
        hooks: &["receive", "udp_recvmsg"],
        bounds: AT_LEAST,
        ..host("net", "udp_datagrams_received", &PROCESS_UDP_DATAGRAMS, RECEIVED, SEGMENTS)
    },
    Comparison {
        only: Some(("monitor.tcp.role", &["server"])),
        // What joins a connection of MPTCP opens none.
        counter: Counter { except: &["MPTcpExtMPJoinAckRx"], ..counter(OPENED) },
        // Without this an idle connection counts as opened much later than it is accepted.
        hooks: &["accept"],
        bounds: AT_LEAST,
        ..host("net", "server_connections_opened", &PROCESS_TCP_OPENED, OPENED, SEGMENTS)
    },
    host("memory", "oom_kills", &PROCESS_OOM_KILLS, (File::Vmstat, &["oom_kill"]), 1),
    Comparison {
        only: Some(("monitor.reclaim.type", &["direct"])),
        // A reclaim that the kernel repeats counts twice there.
        bounds: (0.5, Some(1.0)),
        ..host("memory", "direct_reclaims", &MEMORY_RECLAIM_LATENCY, STALLED, 32)
    },
];

impl Comparison {
    /// What was measured until now, by subject.
    pub(super) fn measured(&self, series: &[Series]) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for series in series.iter().filter(|series| self.is_of(series.metric)) {
            let value = |name| series.attributes.iter().find(|(it, _)| *it == name);
            let is_meant = self.only.is_none_or(|(name, values)| {
                value(name).is_some_and(|(_, value)| values.contains(&value))
            });
            if !is_meant {
                continue;
            }
            let subject = self.subject.and_then(value).map_or("", |(_, subject)| subject);
            *sums.entry(subject.to_owned()).or_default() += match &series.value {
                Point::Number(number) => *number as u64,
                Point::Histogram(durations) => durations.count(),
            };
        }
        sums
    }

    fn is_of(&self, metric: &MetricDesc) -> bool {
        std::ptr::eq(self.metric, metric)
            || self.also.is_some_and(|also| std::ptr::eq(also, metric))
    }
}
