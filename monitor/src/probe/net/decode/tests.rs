//! Raw records in, samples out.

use monitor_common::tcp::{CLIENT, NO_SIDE, SERVER};

use super::*;
use crate::{metric::AGENT_LOST, probe::testing::comm};

pub(super) fn key(name: &str, bank: u16) -> ProcessKey {
    ProcessKey { cgroup_id: 7, comm: comm(name), tgid: 42, bank, kernel_thread: 0 }
}

pub(super) fn service(address: [u8; 4], port: u16, side: usize, bank: u16) -> ServiceKey {
    let address = [0, 0, 0xffff_u32.to_be(), u32::from_ne_bytes(address)];
    ServiceKey { address, port, side: side as u16, bank, unused: 0 }
}

/// Where no datagrams are measured.
fn decoder() -> Decoder {
    Decoder::new([false; DIRECTIONS])
}

/// Samples in words: metric, owner, attribute values, value. Without losses and empty levels.
pub(super) fn decode(decoder: &mut Decoder, snapshot: &Snapshot) -> Vec<String> {
    let mut samples = Vec::new();
    decoder.decode(snapshot, &mut |sample| {
        let owner = match sample.owner {
            Owner::Host => "host".to_owned(),
            Owner::Rest => "rest".to_owned(),
            Owner::Process(process) => format!("{}@{}", process.pid, process.cgroup_id),
        };
        let attributes: Vec<_> = sample.attributes.iter().map(|(_, value)| value).collect();
        let is_none = matches!(sample.value, Value::Level(0));
        if !std::ptr::eq(sample.metric, &AGENT_LOST) && !is_none {
            let name = sample.metric.name.trim_start_matches("monitor.");
            samples.push(format!("{name} {owner} {} {:?}", attributes.join(","), sample.value));
        }
    });
    samples
}

#[test]
fn what_did_not_happen_is_zero_for_the_rest_alone() {
    let mut snapshot = Snapshot::default();
    snapshot.processes.push((key("web", 1), Traffic::EMPTY));
    snapshot.services.push((service([10, 0, 0, 1], 80, CLIENT, 1), Traffic::EMPTY));
    assert!(decode(&mut decoder(), &snapshot).is_empty());
    snapshot.processes.push((ProcessKey::other(1), Traffic::EMPTY));
    snapshot.services.push((ServiceKey::other(1), Traffic::EMPTY));
    let samples = decode(&mut decoder(), &snapshot);
    assert!(samples.iter().all(|sample| sample.contains("(0)")), "{samples:?}");
    for name in ["process.tcp.retransmits rest  ", "tcp.retransmits host (other) "] {
        assert!(samples.iter().any(|sample| sample.starts_with(name)), "{samples:?}");
    }
}

#[test]
fn everything_has_its_metric_and_attributes() {
    let mut traffic = Traffic::EMPTY;
    traffic.active[SERVER] = 1;
    traffic.opened[CLIENT] = 2;
    traffic.closed[SERVER] = 3;
    traffic.failed[Failure::TimedOut as usize] = 4;
    traffic.retransmits = 5;
    traffic.resets[1] = 6;
    traffic.bytes[0] = 7;
    traffic.sums[RTT] = 8;
    traffic.slots[RTT][9] = 10;
    let mut snapshot = Snapshot::default();
    snapshot.processes.push((key("web", 1), traffic));
    snapshot.services.push((service([10, 0, 0, 1], 80, CLIENT, 1), traffic));
    let histogram =
        "Histogram(Durations { shift: 2, sum_ns: 8, slots: [(9, 10)], left_behind: false })";
    assert_eq!(
        decode(&mut decoder(), &snapshot),
        [
            "process.tcp.retransmits 42@7  Increase(5)".to_owned(),
            "process.tcp.io 42@7 transmit Increase(7)".to_owned(),
            "process.tcp.resets 42@7 receive Increase(6)".to_owned(),
            "process.tcp.connections.opened 42@7 client Increase(2)".to_owned(),
            "process.tcp.connections.closed 42@7 server Increase(3)".to_owned(),
            "process.tcp.connections.failed 42@7 timed_out Increase(4)".to_owned(),
            format!("process.tcp.rtt 42@7  {histogram}"),
            "process.tcp.connections.active 42@7 server Level(1)".to_owned(),
            "tcp.retransmits host 10.0.0.1,80,client Increase(5)".to_owned(),
            "tcp.io host 10.0.0.1,80,client,transmit Increase(7)".to_owned(),
            "tcp.resets host 10.0.0.1,80,client,receive Increase(6)".to_owned(),
            "tcp.connections.opened host 10.0.0.1,80,client Increase(2)".to_owned(),
            "tcp.connections.closed host 10.0.0.1,80,client Increase(3)".to_owned(),
            "tcp.connections.failed host 10.0.0.1,80,client,timed_out Increase(4)".to_owned(),
            format!("tcp.rtt host 10.0.0.1,80,client {histogram}"),
            "tcp.connections.active host 10.0.0.1,80,client Level(1)".to_owned(),
        ]
    );
}

#[test]
fn what_no_process_did_is_the_rests() {
    let mut traffic = Traffic::EMPTY;
    traffic.resets[0] = 1;
    let mut snapshot = Snapshot::default();
    snapshot.processes.push((ProcessKey::other(1), traffic));
    snapshot.services.push((ServiceKey::other(1), traffic));
    assert_eq!(snapshot.services[0].0.side, NO_SIDE);
    let samples = decode(&mut decoder(), &snapshot);
    for sample in [
        "process.tcp.resets rest transmit Increase(1)",
        "tcp.resets host (other),transmit Increase(1)",
    ] {
        assert!(samples.iter().any(|found| found == sample), "{samples:?}");
    }
}

#[test]
fn too_many_services_are_others_and_the_busiest_are_not() {
    let mut snapshot = Snapshot::default();
    for port in 1..=60 {
        let mut traffic = Traffic::EMPTY;
        traffic.opened[CLIENT] = port.into();
        snapshot.services.push((service([10, 0, 0, 1], port, CLIENT, 0), traffic));
    }
    let mut decoder = decoder();
    let samples = decode(&mut decoder, &snapshot);
    let sum: u64 = (1..=10).sum();
    let others = format!("tcp.connections.opened host (other),client Increase({sum})");
    assert_eq!((samples.len(), &samples[50]), (51, &others));
    assert!(samples[49].contains("10.0.0.1,60,client"), "{}", samples[49]);
    // They keep their names, in either bank.
    snapshot.services.retain(|(key, _)| [1, 60].contains(&key.port));
    snapshot.services.iter_mut().for_each(|(key, _)| key.bank = 1);
    let samples = decode(&mut decoder, &snapshot);
    assert!(samples[0].contains("10.0.0.1,60") && samples[1].contains("(other)"), "{samples:?}");
}

#[test]
fn a_name_goes_to_a_service_that_matters_far_more() {
    let mut traffic = Traffic::EMPTY;
    traffic.bytes[0] = 1000;
    let mut snapshot = Snapshot::default();
    snapshot
        .services
        .extend((1..=50).map(|port| (service([10, 0, 0, 1], port, CLIENT, 0), traffic)));
    let mut decoder = decoder();
    decode(&mut decoder, &snapshot);
    snapshot.services.truncate(49);
    snapshot.services.push((service([10, 0, 0, 2], 99, CLIENT, 0), traffic));
    // No more than the others: it is one of many.
    let samples = decode(&mut decoder, &snapshot);
    assert!(samples[49].contains(" (other),client,"), "{samples:?}");
    snapshot.services[49].1.bytes[0] = 1_000_000;
    let samples = decode(&mut decoder, &snapshot);
    // The series of every metric end.
    let all = SERVICES.all();
    for (sample, metric) in samples.iter().zip(&all) {
        let name = metric.name.trim_start_matches("monitor.");
        let evicted = format!("{name} host 10.0.0.1,50,client Evicted");
        assert!(sample.starts_with(&evicted) && sample.contains("(evicted)"), "{samples:?}");
    }
    assert!(samples[all.len() + 49].contains("10.0.0.2,99,client"), "{samples:?}");
}

#[test]
fn open_connections_stay_until_they_are_closed() {
    let mut traffic = Traffic::EMPTY;
    traffic.active[SERVER] = 2;
    let mut snapshot = Snapshot::default();
    snapshot.processes.push((key("web", 1), traffic));
    snapshot.services.push((service([10, 0, 0, 1], 80, SERVER, 1), traffic));
    let mut decoder = decoder();
    decoder.begin(&snapshot);
    let active = |open| {
        [
            format!("process.tcp.connections.active 42@7 server Level({open})"),
            format!("tcp.connections.active host (other),server Level({open})"),
        ]
    };
    let idle = Snapshot::default();
    assert_eq!(decode(&mut decoder, &idle), active(2));
    assert_eq!((decode(&mut decoder, &idle), decoder.open()), (active(2).to_vec(), 2));
    snapshot.services.clear();
    snapshot.processes[0].0.bank = 0;
    snapshot.processes[0].1.active[SERVER] = -2;
    assert_eq!(decode(&mut decoder, &snapshot), active(2)[1..]);
}

#[test]
fn flows_are_added_to_processes_and_services() {
    let (owner, service) = (key("web", 1), service([10, 0, 0, 1], 80, CLIENT, 1));
    let mut traffic = Traffic::EMPTY;
    traffic.bytes[0] = 1;
    let mut snapshot = Snapshot::default();
    snapshot.processes.push((owner, traffic));
    let flow = Flow { owner, service, bytes: [10, 5], retransmits: 1, rtt_ns: 1000 };
    let empty = Flow { owner: key("late", 1), ..Flow::default() };
    snapshot.add_flows(&[flow, empty, Flow { rtt_ns: 0, ..flow }]);
    assert_eq!((snapshot.processes.len(), snapshot.services.len(), snapshot.flows), (1, 1, 3));
    for (traffic, before) in [(&snapshot.processes[0].1, 1), (&snapshot.services[0].1, 0)] {
        assert_eq!((traffic.bytes, traffic.retransmits), ([before + 20, 10], 2));
        assert_eq!((traffic.sums[RTT], traffic.slots[RTT].iter().sum::<u32>()), (1000, 1));
    }
}
