use monitor_common::{
    block::{Key, READY, device},
    hist,
};

use super::*;
use crate::metric::{
    AGENT_LOST, BLOCK_DEVICE_LATENCY, BLOCK_ERRORS, BLOCK_IO, BLOCK_OPERATIONS, BLOCK_QUEUE_LATENCY,
};

const DISK: u32 = device(259, 1);

fn key(tgid: u32, operation: Operation) -> Key {
    let comm = *b"app\0\0\0\0\0\0\0\0\0\0\0\0\0";
    Key {
        cgroup_id: 7,
        comm,
        tgid,
        kernel_thread: 0,
        operation: operation as u16,
        device: DISK,
        state: READY,
    }
}

fn entry(key: Key, latencies: &[(u64, u64)]) -> Entry {
    let mut entry = Entry { key, bytes: 4096 * latencies.len() as u64, ..Entry::EMPTY };
    for &(queue_ns, device_ns) in latencies {
        for (latency, ns) in [(QUEUE, queue_ns), (DEVICE, device_ns)] {
            entry.sums[latency] += ns;
            // As the kernel does it.
            if ns > 0 || latency != QUEUE {
                entry.slots[latency][hist::slot(ns)] += 1;
            }
        }
    }
    entry
}

/// Samples as `(metric, owner, attributes, increase or sum, slots)`.
type Seen = (&'static str, Owner, String, u64, Vec<(u16, u32)>);

fn decode(entries: Vec<Entry>, lost: Losses) -> Vec<Seen> {
    let names = HashMap::from([(DISK, "nvme0n1".to_owned())]);
    let mut seen = Vec::new();
    Decoder::default().decode(&Snapshot { entries, lost, names }, &mut |sample| {
        let attributes: Vec<_> = sample.attributes.iter().map(|(_, value)| value).collect();
        let (number, slots) = match sample.value {
            Value::Increase(increase) => (increase, Vec::new()),
            Value::Histogram(durations) => (durations.sum_ns as u64, durations.slots.to_vec()),
            value => panic!("{value:?}"),
        };
        seen.push((sample.metric.name, sample.owner, attributes.join(" "), number, slots));
    });
    seen
}

fn number(seen: &[Seen], metric: &MetricDesc, attributes: &str) -> u64 {
    let wanted = seen.iter().filter(|seen| seen.0 == metric.name && seen.2 == attributes);
    wanted.map(|seen| seen.3).sum()
}

#[test]
fn groups_add_up_to_the_host() {
    let seen = decode(
        vec![
            entry(key(1, Operation::Read), &[(1000, 50_000), (1100, 90_000)]),
            entry(key(2, Operation::Read), &[(0, 50_000)]),
            entry(key(2, Operation::Write), &[(10, 20)]),
            entry(Key::other(DISK, Operation::Read as u16), &[(5, 6)]),
        ],
        [0; _],
    );
    let read = "nvme0n1 read";
    for (metric, expected) in
        [(&BLOCK_OPERATIONS, 4), (&BLOCK_IO, 4 * 4096), (&BLOCK_QUEUE_LATENCY, 2105)]
    {
        assert_eq!(number(&seen, metric, read), expected, "{}", metric.name);
    }
    for (host, process) in [
        (&BLOCK_OPERATIONS, &PROCESS_BLOCK_OPERATIONS),
        (&BLOCK_IO, &PROCESS_BLOCK_IO),
        (&BLOCK_QUEUE_LATENCY, &PROCESS_BLOCK_QUEUE_LATENCY),
        (&BLOCK_DEVICE_LATENCY, &PROCESS_BLOCK_DEVICE_LATENCY),
    ] {
        assert_eq!(number(&seen, host, read), number(&seen, process, read), "{}", host.name);
    }
    // The one that did not wait is in the zero bucket.
    let waits =
        seen.iter().find(|seen| seen.0 == BLOCK_QUEUE_LATENCY.name && seen.2 == read).unwrap();
    assert_eq!(waits.4[0], (0, 1));
    assert_eq!(waits.4.iter().map(|(_, count)| count).sum::<u32>(), 4);
    let rest: Vec<_> = seen.iter().filter(|seen| seen.1 == Owner::Rest).collect();
    assert_eq!(rest.len(), 5);
    assert_eq!(number(&seen, &BLOCK_OPERATIONS, "nvme0n1 write"), 1);
    assert!(seen.iter().any(|seen| seen.0 == BLOCK_ERRORS.name && seen.3 == 0), "that none failed");
}

#[test]
fn groups_have_the_coarser_scale() {
    // Two neighbours at scale 3 that are one at scale 1, and one that is not.
    let near = (1 << 20..).find(|ns| hist::slot(*ns).is_multiple_of(4)).unwrap();
    let (low, high) = (hist::slot(near), hist::slot(near + near / 10));
    assert_eq!((hist::coarse(low), low + 1), (hist::coarse(high), high));
    let seen = decode(
        vec![entry(key(1, Operation::Read), &[(near, 1), (near + near / 10, 1), (1 << 30, 1)])],
        [0; _],
    );
    let slots = |metric: &MetricDesc| &seen.iter().find(|seen| seen.0 == metric.name).unwrap().4;
    let far = hist::slot(1 << 30) as u16;
    assert_eq!(*slots(&BLOCK_QUEUE_LATENCY), [(low as u16, 1), (high as u16, 1), (far, 1)]);
    let coarse = hist::coarse(low) as u16;
    let far = hist::coarse(far.into()) as u16;
    assert_eq!(*slots(&PROCESS_BLOCK_QUEUE_LATENCY), [(coarse, 2), (far, 1)]);
}

#[test]
fn what_has_no_latencies_counts_all_the_same() {
    let mut lone = entry(key(1, Operation::Flush), &[]);
    (lone.untimed, lone.errors) = (3, 2);
    let mut lost = [0; Loss::COUNT];
    lost[Loss::NoIssueTime as usize] = 3;
    let seen = decode(vec![lone], lost);
    assert_eq!(number(&seen, &PROCESS_BLOCK_OPERATIONS, "nvme0n1 flush"), 3);
    assert_eq!(number(&seen, &BLOCK_ERRORS, "nvme0n1 flush"), 2);
    assert!(!seen.iter().any(|seen| seen.0 == BLOCK_DEVICE_LATENCY.name));
    assert_eq!(number(&seen, &AGENT_LOST, "block no_issue_time"), 3);
    // Reasons with nothing are said too.
    assert_eq!(seen.iter().filter(|seen| seen.0 == AGENT_LOST.name).count(), Loss::COUNT);
}

#[test]
fn driver_commands_are_no_operations_and_no_losses() {
    let mut commands = entry(Key::other(DISK, PASSTHROUGH), &[]);
    commands.untimed = 7;
    let seen = decode(vec![commands], [0; _]);
    assert_eq!(number(&seen, &BLOCK_PASSTHROUGH, "nvme0n1"), 7);
    let lost = seen.iter().filter(|seen| seen.0 == AGENT_LOST.name);
    assert!(lost.clone().all(|seen| seen.3 == 0) && lost.count() + 1 == seen.len(), "{seen:?}");
}

#[test]
fn who_is_called_other_is_not_the_rest() {
    let mut key = key(5, Operation::Read);
    key.comm = Key::other(DISK, 0).comm;
    assert!(matches!(Owner::from(&key.process()), Owner::Process(_)));
    assert_eq!(Owner::from(&Key::other(DISK, 1).process()), Owner::Rest);
}
