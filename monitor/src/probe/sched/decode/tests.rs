//! Raw records in, samples out.

use monitor_common::sched::RUNQUEUE;

use super::*;
use crate::probe::testing::{comm, in_words};

fn key(name: &str, tgid: u32, kernel_thread: bool) -> ProcessKey {
    ProcessKey {
        cgroup_id: 7,
        comm: comm(name),
        tgid,
        bank: 0,
        kernel_thread: kernel_thread.into(),
    }
}

/// Counts by slot, one list for each latency.
type Counts<'a> = [&'a [(usize, u32)]; LATENCIES];

fn histograms(counts: Counts<'_>) -> ([Summary; LATENCIES], TaskSlots) {
    let (mut summaries, mut slots) = (Exited::EMPTY.summaries, Exited::EMPTY.slots);
    for (latency, counts) in counts.into_iter().enumerate() {
        summaries[latency].sum = counts.len() as u64 * 100;
        for &(slot, count) in counts {
            summaries[latency].mask |= 1 << (slot / 2);
            slots[latency][slot] = count;
        }
    }
    (summaries, slots)
}

/// A record as the kernel's pass writes it.
fn record(key: ProcessKey, usage: Usage, counts: Counts<'_>) -> Vec<u8> {
    let (summaries, slots) = histograms(counts);
    let record = TaskRecord { key, usage, summaries };
    let mut bytes = vec![0; RECORD];
    #[expect(unsafe_code, reason = "the kernel's programs write plain bytes")]
    // SAFETY: there is room for both.
    unsafe {
        let to = bytes.as_mut_ptr().cast::<TaskRecord>();
        to.write_unaligned(record);
        to.add(1).cast::<TaskSlots>().write_unaligned(slots);
    }
    bytes
}

fn decode(snapshot: &Snapshot) -> Vec<String> {
    let mut samples = Vec::new();
    Decoder::new(2, true).decode(snapshot, &mut |sample| samples.push(in_words(&sample)));
    samples
}

#[test]
fn threads_with_news_become_samples_of_their_process() {
    let usage = Usage { cpu_time: 5_000, voluntary: 3, minor_faults: 7, ..Usage::default() };
    let mut snapshot = Snapshot::default();
    let records = [
        record(key("nginx", 42, false), usage, [&[(20, 2), (21, 1)], &[(115, 9)]]),
        record(key("kworker/0:1", 7, true), Usage::default(), [&[(0, 1)], &[]]),
    ];
    snapshot.records = records.concat();
    let samples = decode(&snapshot);
    assert_eq!(
        samples[..6],
        [
            "monitor.process.cpu.time 42:nginx 5000",
            "monitor.process.context_switches 42:nginx voluntary 3",
            "monitor.process.memory.faults 42:nginx minor 7",
            "monitor.process.runqueue.latency 42:nginx 200ns at 2: [(20, 2), (21, 1)]",
            "monitor.process.offcpu.latency 42:nginx 100ns at 2: [(115, 9)]",
            "monitor.process.runqueue.latency 7:kworker/0:1:kernel 100ns at 2: [(0, 1)]",
        ]
    );
}

#[test]
fn a_record_that_is_cut_off_is_not_read() {
    let mut snapshot = Snapshot::default();
    let usage = Usage { cpu_time: 1, ..Usage::default() };
    snapshot.records = record(key("a", 1, false), usage, [&[], &[]]);
    let whole = decode(&snapshot).len();
    snapshot.records.pop();
    assert_eq!(decode(&snapshot).len(), whole - 1);
}

#[test]
fn exited_threads_count_for_their_group() {
    let mut exited = Exited { threads: 2, ..Exited::EMPTY };
    exited.usage.involuntary = 4;
    exited.usage.major_faults = 2;
    (exited.summaries, exited.slots) = histograms([&[(3, 5)], &[]]);
    let snapshot = Snapshot { exited: vec![(key("sh", 0, false), exited)], ..Snapshot::default() };
    let samples = decode(&snapshot);
    assert_eq!(
        samples[..3],
        [
            "monitor.process.context_switches 0:sh involuntary 4",
            "monitor.process.memory.faults 0:sh major 2",
            "monitor.process.runqueue.latency 0:sh 100ns at 2: [(3, 5)]",
        ]
    );
}

#[test]
fn threads_that_found_the_table_full_have_no_process() {
    let mut exited = Exited { threads: 1, ..Exited::EMPTY };
    exited.usage.cpu_time = 9;
    let snapshot = Snapshot { exited: vec![(ProcessKey::other(1), exited)], ..Snapshot::default() };
    assert_eq!(decode(&snapshot)[0], "monitor.process.cpu.time rest 9");
}

#[test]
fn what_cpus_count_is_the_hosts() {
    let mut cpus = vec![HostBank::EMPTY; 2];
    cpus[0].switches = 10;
    cpus[1].switches = 20;
    cpus[0].lost[Loss::Unmatched as usize] = 1;
    cpus[1].lost[Loss::Unmatched as usize] = 2;
    cpus[1].sums[RUNQUEUE] = 30;
    cpus[1].slots[RUNQUEUE][459] = 1;
    let samples = decode(&Snapshot { cpus, ..Snapshot::default() });
    assert_eq!(
        samples,
        [
            "monitor.sched.context_switches host 0 10",
            "monitor.sched.context_switches host 1 20",
            "monitor.agent.lost host sched unmatched 3",
            "monitor.agent.lost host sched implausible 0",
            "monitor.agent.lost host sched no_storage 0",
            "monitor.agent.lost host sched exit_unread 0",
            "monitor.agent.lost host sched exited_full 0",
            "monitor.agent.lost host sched throttled_full 0",
            "monitor.agent.lost host sched ring_full 0",
            "monitor.sched.runqueue.latency host 30ns at 0: [(459, 1)]",
            "monitor.sched.throttled.latency host 0ns at 0: []",
        ]
    );
}

#[test]
fn throttled_processes_and_their_sum() {
    let mut throttled = ProcessThrottled::EMPTY;
    (throttled.slots[0][100], throttled.sums[0]) = (2, 70);
    let mut cpus = vec![HostBank::EMPTY; 2];
    (cpus[1].slots[THROTTLED][402], cpus[1].sums[THROTTLED]) = (2, 70);
    let throttled = vec![(key("nginx", 42, false), throttled)];
    let samples = decode(&Snapshot { throttled, cpus, ..Snapshot::default() });
    let found: Vec<_> = samples.iter().filter(|sample| sample.contains("throttled.")).collect();
    assert_eq!(
        found,
        [
            "monitor.process.cpu.throttled.latency 42:nginx 70ns at 2: [(100, 2)]",
            "monitor.sched.throttled.latency host 70ns at 0: [(402, 2)]",
            "monitor.sched.throttled.latency host 0ns at 0: []",
        ]
    );
}

#[test]
fn a_kernel_that_does_not_say_who_is_throttled_has_no_series_of_it() {
    let mut samples = Vec::new();
    let snapshot = Snapshot { cpus: vec![HostBank::EMPTY], ..Snapshot::default() };
    Decoder::new(1, false).decode(&snapshot, &mut |sample| samples.push(in_words(&sample)));
    assert!(samples.iter().all(|sample| !sample.contains("throttled.")), "{samples:?}");
}
