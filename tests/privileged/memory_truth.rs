//! What is reported of memory, against what the kernel says elsewhere.

use std::{collections::HashMap, fs, os::unix::process::ExitStatusExt};

use monitor::{
    event::What,
    metric::{
        MEMORY_COMPACTION_LATENCY, MEMORY_RECLAIM_LATENCY, PROCESS_MEMORY_COMPACTION_LATENCY,
        PROCESS_MEMORY_RECLAIM_LATENCY, PROCESS_OOM_KILLS,
    },
};
use monitor_tests::{
    Collector, Hist, Recorder, Workload,
    bpftrace::Counting,
    cgroup::{self, Cgroup},
    kernel,
    kernel_log::KernelLog,
    recorder::comm,
    repeatable, serial, sys,
};

/// Fails unless two counts differ by at most a hundredth.
fn within_a_hundredth(what: &str, reported: u64, expected: u64) {
    println!("{what}: {reported} reported, {expected} expected");
    let ratio = reported as f64 / expected as f64;
    assert!((ratio - 1.0).abs() <= 0.01, "{what}: {reported} reported, {expected} expected");
}

#[test]
fn faults_are_those_of_getrusage() {
    let _serial = serial();
    // What a thread did is missing where no tracepoint fires at its beginning or its end.
    repeatable(faults);
}

fn faults() {
    const PAGES: u64 = 3000;
    let recorder = Recorder::start(&kernel());
    let workload = Workload::start("mt-faults", ["faults", &PAGES.to_string()]);
    let numbers = workload.done();
    let [minor, major] = numbers[..] else { panic!("no numbers: {numbers:?}") };
    let pid = workload.pid();
    let totals = recorder.settle();
    workload.end();
    assert!(minor > 7 * PAGES && major >= PAGES, "the workload did not do its work: {numbers:?}");
    let counts = totals.of(|process| process.pid == pid || comm(process) == "mt-faults");
    within_a_hundredth("minor faults", counts.minor_faults, minor);
    within_a_hundredth("major faults", counts.major_faults, major);
}

/// The same as the probe measures, by bpftrace.
const SCRIPT: &str = "
tracepoint:vmscan:mm_vmscan_direct_reclaim_begin,
tracepoint:vmscan:mm_vmscan_memcg_reclaim_begin,
tracepoint:compaction:mm_compaction_begin { @begin[tid] = nsecs; }
tracepoint:vmscan:mm_vmscan_direct_reclaim_end /@begin[tid]/ {
    @direct[comm] = count(); @direct_ns[comm] = sum(nsecs - @begin[tid]); delete(@begin[tid]);
}
tracepoint:vmscan:mm_vmscan_memcg_reclaim_end /@begin[tid]/ {
    @memcg[comm] = count(); @memcg_ns[comm] = sum(nsecs - @begin[tid]); delete(@begin[tid]);
}
tracepoint:compaction:mm_compaction_end /@begin[tid]/ {
    @compaction[comm] = count(); @compaction_ns[comm] = sum(nsecs - @begin[tid]);
    delete(@begin[tid]);
}
END { clear(@begin); }
";

/// Fails unless a latency of a process is what bpftrace measured, and no longer than the process itself
/// says that all took.
fn check_latency(hist: &Hist, traced: &HashMap<String, u64>, kind: &str, name: &str, took: u64) {
    let by = |what: &str| traced.get(&format!("{kind}{what}[{name}]")).copied().unwrap_or(0);
    let (count, sum) = (by(""), by("_ns"));
    println!(
        "{name}: {} times, {} ns; bpftrace {count}, {sum} ns; {took} ns in all",
        hist.count(),
        hist.sum
    );
    assert!(count > 0, "there was no {kind}");
    assert_eq!(hist.count(), count);
    // Each reads the clock when the other's program has run, or before.
    let apart = hist.sum.abs_diff(sum.into());
    assert!(apart <= u128::from(sum / 20 + 2000 * count), "{} ns and {sum} ns", hist.sum);
    assert!(hist.sum <= took.into(), "{} ns of {took} ns", hist.sum);
}

/// How often a cgroup was refused memory, by the kernel's own account: once before each reclaim, and
/// more often where it then asked for less.
fn refusals(cgroup: &Cgroup) -> u64 {
    let read = |file| fs::read_to_string(cgroup.path().join(file)).ok();
    let version_1 = read("memory.failcnt");
    let version_2 = read("memory.events").and_then(|events| {
        events.lines().find_map(|line| line.strip_prefix("max ").map(str::to_owned))
    });
    let count = version_1.or(version_2).expect("refusals are counted");
    count.trim().parse().expect("a number")
}

/// Times that memory of the host was reclaimed by who wanted some, by the kernel's own account.
fn allocation_stalls() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").expect("there are counters");
    let stalls = text.lines().filter_map(|line| line.strip_prefix("allocstall_")?.split_once(' '));
    stalls.map(|(_, count)| count.parse::<u64>().expect("a number")).sum()
}

#[test]
fn reclaim_is_seen_when_and_only_when_it_happens() {
    let _serial = serial();
    repeatable(reclaim);
}

fn reclaim() {
    const LIMIT: u64 = 32 << 20;
    let cgroup = Cgroup::with_memory("reclaim", LIMIT);
    let collector = Collector::start(&kernel(), "memory");
    let bpftrace = Counting::start(SCRIPT);
    let stalls = allocation_stalls();
    let write = |name, cgroups: &str| {
        let writer = Workload::start(name, ["cache", cgroups, "128"]);
        let took = writer.done()[0];
        writer.end();
        took
    };
    let took = write("mt-limited", cgroup.path().to_str().expect("plain letters"));
    write("mt-free", "-");
    let stalls = allocation_stalls() - stalls;
    let traced = bpftrace.stop();
    let collected = collector.stop();
    assert!(collected.lost.values().all(|&lost| lost == 0), "{:?}", collected.lost);

    let of = |name, kind| collected.durations(&PROCESS_MEMORY_RECLAIM_LATENCY, name, &[kind]);
    let limited = of("mt-limited", "memcg");
    check_latency(&limited, &traced, "memcg", "mt-limited", took);
    let refusals = refusals(&cgroup);
    assert!(refusals >= limited.count(), "{refusals} by the kernel, {} reclaims", limited.count());
    assert_eq!(of("mt-free", "memcg"), Hist::default(), "reclaim without a limit");
    for kind in ["direct", "memcg"] {
        let host = collected.durations(&MEMORY_RECLAIM_LATENCY, "(host)", &[kind]);
        let groups = collected.durations_of_processes(&PROCESS_MEMORY_RECLAIM_LATENCY, &[kind]);
        assert_eq!(groups, host, "the processes are not the host");
    }
    let direct = collected.durations(&MEMORY_RECLAIM_LATENCY, "(host)", &["direct"]);
    assert_eq!(direct.count() > 0, stalls > 0, "{} and {stalls} by the kernel", direct.count());
}

#[test]
fn compaction_is_measured() {
    let _serial = serial();
    repeatable(compaction);
}

fn compaction() {
    let collector = Collector::start(&kernel(), "memory");
    let bpftrace = Counting::start(SCRIPT);
    let compacting = Workload::start("mt-compact", ["compact", "2"]);
    let took = compacting.done()[0];
    compacting.end();
    let traced = bpftrace.stop();
    let collected = collector.stop();
    let hist = collected.durations(&PROCESS_MEMORY_COMPACTION_LATENCY, "mt-compact", &[]);
    check_latency(&hist, &traced, "compaction", "mt-compact", took);
    let host = collected.durations(&MEMORY_COMPACTION_LATENCY, "(host)", &[]);
    assert_eq!(collected.durations_of_processes(&PROCESS_MEMORY_COMPACTION_LATENCY, &[]), host);
}

/// OOM kills counted by the kernel.
fn kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").expect("there are counters");
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.expect("kills are counted").parse().expect("a number")
}

/// What the kernel's log says that a victim had, in KiB: its address space, and what of its memory is
/// anonymous, in files, and shared.
fn obituary(messages: Vec<String>, pid: u32) -> [u64; 4] {
    let victim = format!("Killed process {pid} ");
    let message = messages.into_iter().find(|message| message.contains(&victim));
    let message = message.unwrap_or_else(|| panic!("nothing of {pid} in the kernel's log"));
    ["total-vm:", "anon-rss:", "file-rss:", "shmem-rss:"].map(|size| {
        let (_, rest) = message.split_once(size).expect("the kernel tells all of them");
        let (kib, _) = rest.split_once("kB").expect("in these units");
        kib.parse().expect("a whole number")
    })
}

#[test]
fn a_hog_in_a_cgroup_is_one_victim() {
    const LIMIT: u64 = 64 << 20;
    let _serial = serial();
    let memory = Cgroup::with_memory("oom", LIMIT);
    // Where hierarchies differ, processes are told apart by that of another controller.
    let other = cgroup::version_1().map(|_| Cgroup::new("oom", 1_000_000, 1_000_000));
    let collector = Collector::start(&kernel(), "memory");
    let kills_before = kills();
    let log = KernelLog::open();
    let cgroups = [Some(&memory), other.as_ref()].into_iter().flatten();
    let paths: Vec<_> = cgroups.map(|cgroup| cgroup.path().to_str().expect("letters")).collect();
    let hog = Workload::start("mt-oom-hog", ["oom", &paths.join(","), "128"]);
    let pid = hog.pid();
    let status = hog.ended();
    assert_eq!(status.signal(), Some(libc::SIGKILL), "the hog was not killed: {status}");
    let collected = collector.stop();
    assert_eq!(kills() - kills_before, 1, "somebody else was killed");

    let victims: Vec<_> = collected
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::OomKill(victim) => Some((event, victim)),
            _ => None,
        })
        .collect();
    let [(event, victim)] = victims[..] else { panic!("not one victim: {victims:?}") };
    println!("{event:?}");
    assert_eq!((event.process.pid, comm(&event.process)), (pid, "mt-oom-hog"));
    assert_eq!(event.parent, Some(std::process::id()));
    assert_eq!(event.process.cgroup_id, other.as_ref().unwrap_or(&memory).id());
    assert_eq!(victim.memory_cgroup_id, memory.id());
    let name = memory.path().file_name().and_then(|name| name.to_str());
    assert_eq!(Some(victim.memory_cgroup.as_str()), name);
    if let Some(sizes) = victim.sizes {
        let said = obituary(log.messages(), pid);
        let told =
            [sizes.virtual_bytes, sizes.anonymous_bytes, sizes.file_bytes, sizes.shared_bytes];
        // The kernel may have added up what single CPUs had counted: up to a batch of pages each.
        let cpus = sys::cpus().len() as u64;
        let slack = cpus * (2 * cpus).max(32) * 4;
        let is_said = |(told, said): (u64, u64)| (told >> 10).abs_diff(said) <= slack;
        assert!(told.into_iter().zip(said).all(is_said), "{sizes:?}; in KiB: {said:?}");
    }
    assert_eq!(collected.count(&PROCESS_OOM_KILLS, "mt-oom-hog", &[]), 1);
    let all = collected.counts.iter().filter(|((metric, ..), _)| *metric == PROCESS_OOM_KILLS.name);
    assert_eq!(all.map(|(_, count)| count).sum::<u64>(), 1);
}
