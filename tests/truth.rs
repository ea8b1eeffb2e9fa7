//! Comparisons, each with its tolerance.

use crate::{Blind, Counts, Events, Hist, Intervals, Totals, proc::Counters};

/// Quantiles that must agree within one bucket; the last is the maximum.
const QUANTILES: [f64; 7] = [0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0];

/// How far sums and counts may be off.
const TOLERANCE: f64 = 0.01;

/// How large a part of the host's waits may be those of threads that were not seen to end.
const UNENDED: f64 = 0.1;

/// How much an observer must have seen at least to be a reference.
const SEEN: f64 = 0.95;

/// How far apart two observers read their clocks in a few events, in nanoseconds.
const CLOCKS_NS: f64 = 2000.0;
/// How far apart they read them in each event, as the kernel runs one program after the other: at a switch the
/// reference reads its clock when ours has ended, some 300 ns later.
const PROGRAM_NS: f64 = 400.0;

/// Both histograms of `counts` against what follows from raw events.
pub fn check_intervals(name: &str, counts: &Counts, intervals: &Intervals, blind: Blind) {
    let seen = seen(name, blind);
    if counts.throttled.sum == 0 {
        check_hist(&format!("{name} run-queue"), &counts.runqueue, &intervals.runqueue, seen);
    } else {
        // Raw events do not show which part of a wait is throttled.
        let (count, waits) = (counts.runqueue.count() as f64, intervals.runqueue.len() as f64);
        mostly(&format!("{name} waits"), count, waits, seen);
        let expected: u64 = intervals.runqueue.iter().sum();
        let name = format!("{name} waited, of which {} throttled", counts.throttled.sum);
        mostly(&name, counts.waited_ns() as f64, expected as f64, seen);
    }
    check_hist(&format!("{name} off-CPU"), &counts.offcpu, &intervals.offcpu, seen);
}

/// The share of threads that were seen from beginning to end.
fn seen(name: &str, blind: Blind) -> f64 {
    let seen = blind.seen();
    check_reference(name, "threads", seen);
    seen
}

/// Fails where the kernel kept too much from all observers.
fn check_reference(name: &str, what: &str, seen: f64) {
    assert!(
        seen >= SEEN,
        "{name}: there is no reference on this machine: its kernel showed bpftrace only {:.1} % of \
         all {what}, and {:.0} % are needed; run the tests on another machine or kernel",
        seen * 100.0,
        SEEN * 100.0
    );
}

/// A histogram against durations: count and sum within 1 %, every quantile within one bucket.
fn check_hist(name: &str, hist: &Hist, durations: &[u64], seen: f64) {
    let expected = Hist::of(durations);
    mostly(&format!("{name} count"), hist.count() as f64, expected.count() as f64, seen);
    let (sum, expected_sum) = (hist.sum as f64, expected.sum as f64);
    // Neither reads its clock at the very moment. Short waits are off by that.
    if (sum - expected_sum).abs() > CLOCKS_NS + PROGRAM_NS * expected.count() as f64 {
        mostly(&format!("{name} sum"), sum, expected_sum, seen);
    }
    for q in QUANTILES {
        let (slot, wanted) = (hist.quantile_slot(q), expected.quantile_slot(q));
        let near = match (slot, wanted) {
            (Some(slot), Some(wanted)) => slot.abs_diff(wanted) <= 1,
            (slot, wanted) => slot == wanted,
        };
        assert!(near, "{name}: the {q}-quantile is in slot {slot:?}, by raw events in {wanted:?}");
    }
}

/// A number within 1 % of what it should be.
pub fn within(name: &str, value: f64, expected: f64) {
    mostly(name, value, expected, 1.0);
}

/// A number within 1 % of what it should be, if need be without the threads or runs that were not `seen`.
pub fn mostly(name: &str, value: f64, expected: f64, seen: f64) {
    let off = if value == expected { 0.0 } else { value / expected - 1.0 };
    println!("{name}: {value} for {expected}, {:+.4} %", off * 100.0);
    let possible = seen - 1.0 - TOLERANCE..=TOLERANCE;
    assert!(possible.contains(&off), "{name}: {value} is not within {possible:?} of {expected}");
}

/// What was recorded of a process since it was started, against what the kernel counted: switches
/// and runs exactly, on-CPU time within 1 %. Only what the kernel kept from all observers may be
/// missing.
pub fn check_counters(name: &str, counts: &Counts, kernel: &Counters, blind: Blind) {
    let seen = seen(name, blind);
    let shown = blind.shown();
    check_reference(name, "runs", shown);
    mostly(&format!("{name} on-CPU time"), counts.cpu_ns as f64, kernel.cpu_ns as f64, seen);
    let (recorded, times) = (counts.runqueue.count(), kernel.times);
    mostly(&format!("{name} times run"), recorded as f64, times as f64, seen.min(shown));
    println!("{name}: {blind:?}");
    let switches = (counts.voluntary, counts.involuntary);
    let expected = (kernel.voluntary, kernel.involuntary);
    if blind.unended == 0 {
        assert_eq!(switches, expected, "{name}: voluntary and involuntary switches, against /proc");
        let possible = times - blind.unseen..=times;
        assert!(possible.contains(&recorded), "{name}: {recorded} runs, by schedstat {possible:?}");
    } else {
        let all = |(voluntary, involuntary): (u64, u64)| (voluntary + involuntary) as f64;
        mostly(&format!("{name} switches"), all(switches), all(expected), seen);
    }
}

/// Nothing was lost, and all processes together are the host. Where the kernel kept events from all
/// observers, fewer than 1 % of all waits go unrecorded for want of a wakeup or of storage. There all
/// processes are less than the host, as threads end unseen, which takes away whole lives: on a small
/// part of the host's waits no bound can be put but that it is small.
pub fn check_host(totals: &Totals, events: &Events) {
    let processes = totals.of(|_| true);
    let (host, sum) = (&totals.host, &processes);
    let pairs =
        [("run-queue", &host.runqueue, &sum.runqueue), ("off-CPU", &host.offcpu, &sum.offcpu)];
    assert_eq!(host.throttled, sum.throttled, "throttled: the host and all processes");
    println!("lost {:?}, {} unseen switches", totals.lost, events.unseen_switches());
    let lost =
        |reason| totals.lost.get(reason).copied().expect("reported, also when there are none");
    assert_eq!((lost("implausible"), lost("exited_full")), (0, 0), "lost: {:?}", totals.lost);
    if events.unseen_switches() == 0 {
        assert_eq!((lost("unmatched"), lost("no_storage")), (0, 0), "lost: {:?}", totals.lost);
        for (name, host, sum) in pairs {
            assert_eq!(host, sum, "{name}: the host and all processes");
        }
        return;
    }
    let missing = (lost("unmatched") + lost("no_storage")) as f64;
    let runs = host.runqueue.count() as f64;
    assert!(missing <= TOLERANCE * runs, "lost: {:?} of {runs}", totals.lost);
    for (name, host, sum) in pairs {
        let (sum, host) = (sum.count() as f64, host.count() as f64);
        mostly(&format!("{name} of all processes"), sum, host, 1.0 - UNENDED);
        assert!(sum <= host, "{name}: {sum} of all processes, but {host} of the host");
    }
}
