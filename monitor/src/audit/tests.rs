use std::time::{Instant, SystemTime};

use super::{
    comparison::{COMPARISONS, Comparison},
    judge::{Flip, Judgement, judge},
    *,
};
use crate::{
    host::scratch::Scratch,
    metric::{
        BLOCK_OPERATIONS, MetricDesc, PROCESS_CONTEXT_SWITCHES, PROCESS_FORKS,
        PROCESS_THREADS_CREATED, SCHED_CONTEXT_SWITCHES,
    },
    sample::Attributes,
    view::Point,
};

fn comparison(name: &str) -> &'static Comparison {
    COMPARISONS.iter().find(|comparison| comparison.name == name).unwrap()
}

fn result(name: &str, measured: u64, flips: [(u64, u64); 2]) -> Option<AuditResult> {
    let flips = flips.map(|(before, after)| Flip { before, after });
    judge(comparison(name), measured, flips).map(|judgement| judgement.result)
}

#[test]
fn a_growth_within_what_the_readings_leave_open_agrees() {
    use AuditResult::{Agrees, Deviates};
    // Between 9,900 and 10,100 switches lie between the flips.
    let flips = [(1_000_000, 1_000_100), (1_010_000, 1_010_100)];
    let of = |measured| result("context_switches", measured, flips).unwrap();
    let slack = comparison("context_switches").slack;
    assert_eq!(of(10_000), Agrees);
    assert_eq!(of(9_405 - slack), Agrees);
    assert_eq!(of(9_404 - slack), Deviates);
    assert_eq!(of(10_605 + slack), Agrees);
    assert_eq!(of(10_606 + slack), Deviates);
    assert_eq!(of(0), Deviates);
}

#[test]
fn switches_of_processes_are_at_least_half_of_all() {
    use AuditResult::{Agrees, Deviates};
    let flips = [(0, 0), (100_000, 100_000)];
    for (measured, expected) in
        [(100_000, Agrees), (50_000, Agrees), (45_000, Deviates), (110_000, Deviates)]
    {
        assert_eq!(result("process_context_switches", measured, flips), Some(expected));
    }
}

#[test]
fn faults_that_the_kernel_tries_again_count_twice_there() {
    use AuditResult::{Agrees, Deviates};
    let flips = [(0, 0), (1_000_000, 1_000_000)];
    for (measured, expected) in
        [(1_000_000, Agrees), (500_000, Agrees), (460_000, Deviates), (1_100_000, Deviates)]
    {
        assert_eq!(result("page_faults", measured, flips), Some(expected));
    }
}

/// The page says what is compared, and with what slack.
#[test]
fn the_page_has_every_comparison() {
    const PAGE: &str = include_str!("../../../docs/principles.md");
    for comparison in COMPARISONS {
        let name = format!("`{}`", comparison.name);
        let line = PAGE.lines().find(|line| line.starts_with('|') && line.contains(&name));
        let line = line.unwrap_or_else(|| panic!("docs/principles.md lacks {name}"));
        let cell = line.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default();
        let slack = match cell.trim().replace(',', "").split_once(' ') {
            Some((number, "MiB")) => number.parse::<u64>().unwrap() << 20,
            _ => cell.trim().replace(',', "").parse().unwrap(),
        };
        assert_eq!(slack, comparison.slack, "{name}");
    }
}

#[test]
fn processes_and_threads_are_compared_together() {
    let created = [
        series(&PROCESS_FORKS, &[("process.executable.name", "a")], 30),
        series(&PROCESS_THREADS_CREATED, &[("process.executable.name", "a")], 12),
        series(&PROCESS_CONTEXT_SWITCHES, &[("process.executable.name", "a")], 9),
    ];
    let measured = comparison("forks").measured(&created);
    assert_eq!(measured.into_iter().collect::<Vec<_>>(), [(String::new(), 42)]);
}

#[test]
fn silence_deviates_only_where_the_kernel_counted() {
    use AuditResult::{Agrees, Deviates, TooLittle};
    assert_eq!(result("reads", 0, [(5, 5), (5, 5)]), Some(TooLittle));
    assert_eq!(result("reads", 0, [(5, 5), (37, 37)]), Some(TooLittle));
    assert_eq!(result("reads", 0, [(5, 5), (105, 105)]), Some(Deviates));
    assert_eq!(result("reads", 100, [(5, 5), (105, 105)]), Some(Agrees));
    // Two victims are enough.
    assert_eq!(result("oom_kills", 0, [(0, 0), (2, 2)]), Some(Deviates));
    assert_eq!(result("oom_kills", 0, [(0, 0), (1, 1)]), Some(TooLittle));
}

#[test]
fn a_counter_that_was_reset_is_not_judged() {
    let flips = [Flip { before: 500, after: 500 }, Flip { before: 20, after: 20 }];
    assert_eq!(judge(comparison("reads"), 20, flips), None);
    let flips = [Flip { before: 500, after: 500 }, Flip { before: 700, after: 700 }];
    let judgement = Judgement { reference: 200, result: AuditResult::Agrees };
    assert_eq!(judge(comparison("reads"), 200, flips), Some(judgement));
}

/// A host with one disk, whose counters are set.
struct Host {
    scratch: Scratch,
    audit: Audit,
    switches: u64,
    writes: u64,
}

impl Host {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        scratch.write("sys/block/vda/mq/0/tags", "");
        scratch.write("sys/block/vda/queue/iostats", "1\n");
        // It is made of others, and has no requests.
        scratch.write("sys/block/dm-0/queue/iostats", "1\n");
        scratch.write("proc/vmstat", "nr_free_pages 5\noom_kill 0\nallocstall_normal 0\n");
        let paths = HostPaths {
            proc: scratch.path("proc"),
            sys: scratch.path("sys"),
            root: scratch.path("root"),
        };
        Self { audit: Audit::new(&paths), scratch, switches: 0, writes: 0 }
    }

    /// A round in which the kernel and the probes count as much as given.
    fn round(&mut self, kernel: [u64; 2], probes: [u64; 2], measured: &mut [u64; 2]) {
        self.switches += kernel[0];
        self.writes += kernel[1];
        let Self { scratch, audit, switches, writes } = self;
        scratch.write("proc/stat", &format!("cpu 1 2 3\nintr 9 9\nctxt {switches}\nprocesses 7\n"));
        let disk = |minor, name, writes| {
            format!(" 254 {minor} {name} 0 0 0 0 {writes} 0 {} 0 0 0 0 0 0 0\n", 8 * writes)
        };
        let disks = [disk(0, "vda", *writes), disk(1, "vda1", *writes), disk(2, "dm-0", *writes)];
        scratch.write("proc/diskstats", &disks.concat());
        for (measured, more) in measured.iter_mut().zip(probes) {
            *measured += more;
        }
        audit.end_round_at(Instant::now());
        audit.before_flip(Instant::now());
        audit.after_flip();
        let of_disk = [("system.device", "vda"), ("disk.io.direction", "flush")];
        let series = [
            series(&SCHED_CONTEXT_SWITCHES, &[("cpu.logical_number", "0")], measured[0]),
            series(&PROCESS_CONTEXT_SWITCHES, &[("process.executable.name", "a")], measured[0]),
            series(&BLOCK_OPERATIONS, &of_disk, measured[1]),
        ];
        audit.compare(&series, |probe, _| probe != "memory");
    }
}

fn series(metric: &'static MetricDesc, attributes: &[(&'static str, &str)], count: u64) -> Series {
    Series {
        metric,
        attributes: Attributes::new(attributes.iter().copied()),
        start: SystemTime::UNIX_EPOCH,
        value: Point::Number(count as f64),
        is_evicted: false,
    }
}

#[test]
fn three_deviating_rounds_degrade_a_probe_until_it_agrees_again() {
    let mut host = Host::new("audit-rounds");
    let mut measured = [0; 2];
    let good = [100_000, 5_000];
    host.round(good, good, &mut measured);
    assert_eq!(host.audit.rows(), []);
    for round in 1..=3 {
        assert_eq!(host.audit.deviation("block"), None, "{round}");
        host.round(good, [100_000, 0], &mut measured);
    }
    let deviation = host.audit.deviation("block").unwrap();
    assert_eq!(deviation, "audit: writes of vda: measured 0, /proc/diskstats counted 5000");
    assert_eq!(host.audit.deviation("sched"), None);
    // A round without writes does not clear it.
    host.round([100_000, 0], [100_000, 0], &mut measured);
    assert!(host.audit.deviation("block").is_some());
    host.round(good, good, &mut measured);
    assert_eq!(host.audit.deviation("block"), None);
}

#[test]
fn a_probe_that_ended_has_no_results_and_its_round_is_left_out() {
    let mut host = Host::new("audit-ended");
    let mut measured = [0; 2];
    let good = [100_000, 5_000];
    (0..2).for_each(|_| host.round(good, good, &mut measured));
    let of_block = |host: &Host| host.audit.rows().iter().any(|row| row.probe == "block");
    assert!(of_block(&host));
    host.audit.forget("block");
    assert!(!of_block(&host));
    assert!(host.audit.rows().iter().any(|row| row.probe == "sched"));
    // It ran for only a part of this one.
    host.round(good, [100_000, 9_000], &mut measured);
    assert!(!of_block(&host));
    host.round(good, good, &mut measured);
    assert!(of_block(&host));
}

#[test]
fn only_whole_disks_with_requests_are_compared() {
    let mut host = Host::new("audit-disks");
    let mut measured = [0; 2];
    for _ in 0..2 {
        host.round([100_000, 5_000], [100_000, 5_000], &mut measured);
    }
    let rows: Vec<_> = host.audit.rows().iter().map(|row| (row.counter, &*row.device)).collect();
    assert!(rows.contains(&("writes", "vda")), "{rows:?}");
    assert!(rows.iter().all(|(_, device)| ["", "vda"].contains(device)), "{rows:?}");
    assert!(host.audit.rows().iter().all(|row| row.probe != "memory"), "it does not run");
    // This kernel has no /proc/schedstat.
    assert!(rows.iter().all(|(counter, _)| *counter != "runs"), "{rows:?}");
    assert!(host.audit.unavailable().any(|reason| reason.contains("schedstat")));
    host.scratch.write("sys/block/vda/queue/iostats", "0\n");
    for _ in 0..2 {
        host.round([100_000, 0], [100_000, 5_000], &mut measured);
    }
    assert!(host.audit.rows().iter().all(|row| row.device.is_empty()));
}

#[test]
fn a_series_that_was_reset_is_left_out() {
    let mut host = Host::new("audit-reset");
    let mut measured = [0; 2];
    for _ in 0..2 {
        host.round([100_000, 5_000], [100_000, 5_000], &mut measured);
    }
    let mut anew = [0; 2];
    host.round([100_000, 5_000], [0, 0], &mut anew);
    assert!(host.audit.rows().iter().all(|row| row.counter != "context_switches"));
    host.round([100_000, 5_000], [100_000, 5_000], &mut anew);
    let row = host.audit.rows().iter().find(|row| row.counter == "context_switches").unwrap();
    assert_eq!((row.result, row.ratio()), (AuditResult::Agrees, Some(1.0)));
}

#[test]
fn namespaces_that_are_there_all_the_time_are_added_up() {
    let flips = [[(10, 10), (15, 16)], [(100, 100), (140, 140)]]
        .map(|pair| pair.map(|(before, after)| Flip { before, after }));
    let sums = [Flip { before: 110, after: 110 }, Flip { before: 155, after: 156 }];
    assert_eq!(Flip::sums(flips), Some(sums));
    assert_eq!(Flip::sums([]), None);
    // More may be measured: of namespaces that are not found.
    assert_eq!(result("retransmits", 5_000, [(0, 0), (1_000, 1_000)]), Some(AuditResult::Agrees));
    assert_eq!(result("retransmits", 500, [(0, 0), (1_000, 1_000)]), Some(AuditResult::Deviates));
}

#[test]
fn both_forms_of_the_network_counters_are_read() {
    let scratch = Scratch::new("audit-network");
    scratch.write(
        "proc/7/net/snmp",
        "Tcp: PassiveOpens RetransSegs\nTcp: 9 37\nUdp: InDatagrams \
                                      OutDatagrams\nUdp: 1 200\n",
    );
    scratch
        .write("proc/7/net/snmp6", "Udp6InDatagrams \t5\nUdp6OutDatagrams                 \t34\n");
    scratch.write(
        "proc/7/net/netstat",
        "TcpExt: SyncookiesSent\nTcpExt: 1\nMPTcpExt: MPJoinSynRx MPJoinAckRx\nMPTcpExt: 3 2\n",
    );
    scratch.directory("proc/7/ns");
    std::os::unix::fs::symlink("net:[1]", scratch.path("proc/7/ns/net")).unwrap();
    let paths = HostPaths {
        proc: scratch.path("proc"),
        sys: scratch.path("sys"),
        root: scratch.path("root"),
    };
    let mut counters = Counters::new(&paths);
    counters.find_namespaces();
    let reading = counters.read();
    let value = |name| {
        let place = COMPARISONS.iter().position(|comparison| comparison.name == name).unwrap();
        reading[place].as_ref().and_then(|values| values.get("net:[1]").copied())
    };
    assert_eq!((value("retransmits"), value("udp_datagrams_sent")), (Some(37), Some(234)));
    assert_eq!(value("udp_datagrams_received"), Some(6));
    // Subflows that joined a connection are none.
    assert_eq!(value("server_connections_opened"), Some(7));
}

/// With native multipath a disk is made of hidden ones, one for each path to it.
#[test]
fn what_paths_to_a_disk_count_is_the_disks() {
    let scratch = Scratch::new("audit-paths");
    let mut disks = String::from(" 259 0 nvme0n1 9 0 72 0 90 0 0 0 0 0 0 0 0 0\n");
    for (minor, name, writes) in [(1, "nvme0c0n1", 30), (3, "nvme0c1n1", 12)] {
        scratch.write(&format!("sys/block/{name}/mq/0/tags"), "");
        scratch.write(&format!("sys/block/{name}/queue/iostats"), "1\n");
        disks += &format!(" 259 {minor} {name} 0 0 0 0 {writes} 0 0 0 0 0 0 0 0 0\n");
    }
    scratch.write("proc/diskstats", &disks);
    let paths = HostPaths {
        proc: scratch.path("proc"),
        sys: scratch.path("sys"),
        root: scratch.path("root"),
    };
    let reading = Counters::new(&paths).read();
    let writes = COMPARISONS.iter().position(|comparison| comparison.name == "writes").unwrap();
    let found = reading[writes].as_ref().unwrap();
    assert_eq!(found.iter().collect::<Vec<_>>(), [(&"nvme0n1".to_owned(), &42)]);
}
