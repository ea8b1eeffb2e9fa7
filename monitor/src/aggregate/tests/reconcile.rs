//! What the host measured and no group was given yet.

use monitor_common::hist::slot;

use super::{Feed, assert_adds_up, histograms, value};
use crate::metric::{AGENT_LOST, SCHED_RUNQUEUE_LATENCY};

#[test]
fn what_is_still_with_an_exiting_thread_is_held_back() {
    let mut feed = Feed::new(10);
    feed.host(1_000);
    feed.host(1_010);
    feed.host(5_000_000);
    feed.process("a", 1_000);
    let series = feed.finish(1);
    assert_adds_up(&series);
    assert_eq!(histograms(&series, &SCHED_RUNQUEUE_LATENCY)[0].count(), 1);

    feed.process("a", 1_010);
    feed.process("b", 5_000_000);
    let series = feed.finish(2);
    assert_adds_up(&series);
    let host = histograms(&series, &SCHED_RUNQUEUE_LATENCY)[0];
    assert_eq!((host.count(), host.sum_ns), (3, 5_002_010));
    assert_eq!(host.slots[slot(5_000_000)], 1);
}

#[test]
fn what_no_group_is_ever_given_is_counted_as_lost() {
    let mut feed = Feed::new(10);
    feed.host(1_000);
    feed.host(2_000);
    feed.process("a", 1_000);
    for second in 1..60 {
        let series = feed.finish(second);
        assert_adds_up(&series);
        assert_eq!(value(&series, &AGENT_LOST, "unattributed"), Some(0.0));
        // Others come and go in the meantime.
        feed.host(3_000);
        feed.process("b", 3_000);
    }
    let series = feed.finish(60);
    assert_adds_up(&series);
    assert_eq!(value(&series, &AGENT_LOST, "unattributed"), Some(1.0));
}

#[test]
fn what_is_always_with_some_thread_that_ends_is_not_lost() {
    let mut feed = Feed::new(10);
    for second in 1..=200 {
        // It ends after the banks were flipped.
        feed.host(3_000);
        let series = feed.finish(second);
        assert_adds_up(&series);
        assert_eq!(value(&series, &AGENT_LOST, "unattributed"), Some(0.0), "tick {second}");
        feed.thread("short", 3_000, true);
    }
    // From now on one is missing.
    feed.host(3_000);
    for second in 201..=320 {
        feed.finish(second);
    }
    assert_eq!(value(&feed.finish(321), &AGENT_LOST, "unattributed"), Some(1.0));
}
