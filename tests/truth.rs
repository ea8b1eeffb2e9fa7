//! Comparisons, each with its tolerance.

use crate::{Blind, Counts, Events, Hist, Intervals, Totals, proc::Counters};

/// Quantiles that must agree within one bucket; the last is the maximum.
const QUANTILES: [f64; 7] = [0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0];

/// How far sums and counts may be off.
const TOLERANCE: f64 = 0.01;

/// How far apart two observers read their clocks in a few events, in nanoseconds.
const CLOCKS_NS: f64 = 2000.0;

/// Both histograms of `counts` against what follows from raw events.
pub fn check_intervals(name: &str, counts: &Counts, intervals: &Intervals) {
    check_hist(&format!("{name} run-queue"), &counts.runqueue, &intervals.runqueue);
    check_hist(&format!("{name} off-CPU"), &counts.offcpu, &intervals.offcpu);
}

/// A histogram against durations: count and sum within 1 %, every quantile within one bucket.
pub fn check_hist(name: &str, hist: &Hist, durations: &[u64]) {
    let expected = Hist::of(durations);
    within(&format!("{name} count"), hist.count() as f64, expected.count() as f64);
    let (sum, expected_sum) = (hist.sum as f64, expected.sum as f64);
    // Neither reads its clock at the very moment. A few short waits are off by that.
    if (sum - expected_sum).abs() > CLOCKS_NS {
        within(&format!("{name} sum"), sum, expected_sum);
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
    let off = if value == expected { 0.0 } else { value / expected - 1.0 };
    println!("{name}: {value} for {expected}, {:+.4} %", off * 100.0);
    assert!(off.abs() <= TOLERANCE, "{name}: {value} is not within 1 % of {expected}");
}

/// What was recorded of a process since it was started, against what the kernel counted: switches
/// and runs exactly, on-CPU time within 1 %. Only what the kernel kept from all observers may be
/// missing, and that is less than 1 % too.
pub fn check_counters(name: &str, counts: &Counts, kernel: &Counters, blind: Blind) {
    within(&format!("{name} on-CPU time"), counts.cpu_ns as f64, kernel.cpu_ns as f64);
    let recorded = counts.runqueue.count();
    println!("{name} times run: {recorded} for {}, {blind:?}", kernel.times);
    if blind.ends > 0 {
        within(&format!("{name} times run"), recorded as f64, kernel.times as f64);
        let (switches, expected) =
            (counts.voluntary + counts.involuntary, kernel.voluntary + kernel.involuntary);
        return within(&format!("{name} switches"), switches as f64, expected as f64);
    }
    assert_eq!(
        (counts.voluntary, counts.involuntary),
        (kernel.voluntary, kernel.involuntary),
        "{name}: voluntary and involuntary switches, against /proc"
    );
    let possible = kernel.times - blind.runs..=kernel.times;
    assert!(
        possible.contains(&recorded),
        "{name}: ran {recorded} times, by schedstat {possible:?}"
    );
    within(&format!("{name} times run"), recorded as f64, kernel.times as f64);
}

/// Nothing was lost, and all processes together are the host. Where the kernel kept events from all
/// observers, waits go unrecorded and threads end unseen, but fewer than 1 % of all.
pub fn check_host(totals: &Totals, events: &Events) {
    let processes = totals.of(|_| true);
    let (host, sum) = (&totals.host, &processes);
    let pairs =
        [("run-queue", &host.runqueue, &sum.runqueue), ("off-CPU", &host.offcpu, &sum.offcpu)];
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
        within(&format!("{name} of all processes"), sum.count() as f64, host.count() as f64);
    }
}
