//! Aggregation of 1,000 groups with 12 metrics each, and of 500 series of the host.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use anyhow::Result;
use monitor::{
    aggregate::Aggregate,
    attribution::Group,
    metric::{Kind, MetricDesc, TCP_IO, catalogue},
    sample::{Attributes, Durations, Owner, Process, Sample, Value},
};
use monitor_common::hist;

use crate::clock::cpu_time;

const GROUPS: u32 = 1000;
const METRICS: usize = 12;
/// Series of services.
const SERVICES: u32 = 500;

/// Prints for each tick how many seconds of CPU time it took.
pub(crate) fn run(count: u32) -> Result<()> {
    let start = SystemTime::now();
    let mut aggregate = Aggregate::new(GROUPS as usize, start, start);
    let is_of_groups = |it: &&MetricDesc| {
        it.name.starts_with("monitor.process.") && it.kind != Kind::UpDownCounter
    };
    let metrics: Vec<_> = catalogue().filter(is_of_groups).take(METRICS).collect();
    let groups: Vec<_> = (0..GROUPS).map(group).collect();
    let services: Vec<_> = (0..SERVICES).map(service).collect();
    let none = Attributes::default();
    for tick in 1..=count {
        let before = cpu_time();
        let now = start + Duration::from_secs(tick.into());
        aggregate.begin(now, Duration::from_secs(1), start);
        for (number, group) in groups.iter().enumerate() {
            let pid = number as u32 + 1;
            let process = Process { pid, comm: [b'a'; 16], cgroup_id: 1, kernel_thread: false };
            for metric in &metrics {
                let slots = [(hist::coarse(hist::slot(1000)) as u16, 1)];
                let value = match metric.kind {
                    Kind::Histogram => Value::Histogram(Durations {
                        shift: hist::COARSE_SHIFT,
                        sum_ns: 1000,
                        slots: &slots,
                        left_behind: false,
                    }),
                    _ => Value::Increase(1000),
                };
                let owner = Owner::Process(process);
                let sample = Sample { metric, owner, attributes: &none, value };
                aggregate.add(&sample, || group.clone());
            }
        }
        for attributes in &services {
            let value = Value::Increase(1000);
            let sample = Sample { metric: &TCP_IO, owner: Owner::Host, attributes, value };
            aggregate.add(&sample, || groups[0].clone());
        }
        let (series, _) = aggregate.finish(now, Duration::from_secs(1));
        let took = (cpu_time() - before).as_secs_f64();
        println!("{took:.9}");
        anyhow::ensure!(series.len() >= GROUPS as usize * METRICS, "{} series", series.len());
    }
    Ok(())
}

fn group(number: u32) -> Arc<Group> {
    Arc::new(Group {
        executable: format!("program-{number}"),
        container_id: Some(format!("{number:064x}")),
        systemd_unit: Some(format!("service-{number}.service")),
        ..Group::default()
    })
}

fn service(number: u32) -> Attributes {
    Attributes::new([
        ("server.address", format!("10.0.{}.{}", number >> 8, number & 255)),
        ("server.port", "443".to_owned()),
        ("monitor.tcp.role", "client".to_owned()),
        ("network.io.direction", "transmit".to_owned()),
    ])
}
