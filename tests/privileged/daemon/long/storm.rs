//! The worst that a host can do: making processes as fast as its CPUs can, beside threads that wake each
//! other as fast. Whatever is not measured then is in the ledger.

use std::{thread, time::Duration};

use monitor_tests::{Workload, proc::Counters, serial, sys, workload::Pipes};

use crate::{program::Daemon, scrape::Scrape, sums};

/// How long it goes on at least.
const SECONDS: u64 = 60;
/// How many children each CPU has at least.
const CHILDREN: u64 = 30_000;
/// Messages, as many as two processes on one CPU pass on in less than that, in a storm or not.
const MESSAGES: u64 = 300_000;

/// What a metric's series of a command add up to.
fn total(scrape: &Scrape, metric: &str, command: &str) -> f64 {
    scrape.values(metric, &[("process_executable_name", command)]).iter().sum()
}

#[test]
fn a_minute_of_forks_and_switches_is_counted_in_full() {
    let _serial = serial();
    let daemon = Daemon::start([]);
    let pipes = Pipes::new();
    let [there, back] = pipes.paths();
    let (cpu, messages) = (sys::last_cpu(), MESSAGES.to_string());
    let pong = Workload::start("mt-pong", ["pong", &cpu, there, back, &messages]);
    let ping = Workload::start("mt-ping", ["ping", &cpu, there, back, &messages]);
    let storm = Workload::start("mt-storm", ["storm", &SECONDS.to_string(), &CHILDREN.to_string()]);
    for _ in 0..SECONDS / 5 {
        // Not for many at once: the kernel may take seconds to say that no program writes any more.
        daemon.wait_ticks(1);
        sums::adds_up(&Scrape::text(&daemon));
        thread::sleep(Duration::from_secs(2));
    }
    let [children] = storm.done()[..] else { panic!("no number") };
    ping.done();
    pong.done();
    daemon.wait_ticks(2);
    let end = Scrape::text(&daemon);
    sums::adds_up(&end);

    let exits = total(&end, "monitor_process_exits_total", "mt-storm");
    let switches = total(&end, "monitor_process_context_switches_total", "mt-storm");
    println!("{children} children, {exits} exits, {switches} switches");
    assert_eq!(exits, children as f64, "exits of the storm");
    // Each of them left its CPU for ever, and it had to be given one before.
    assert!(switches >= children as f64, "switches of the storm");
    let runs = total(&end, "monitor_process_runqueue_latency_seconds_count", "mt-storm");
    let lost = total_lost(&end, "sched");
    assert!(runs + lost >= children as f64, "{runs} times on a CPU, {lost} losses");
    for (name, workload) in [("mt-ping", &ping), ("mt-pong", &pong)] {
        let counted = total(&end, "monitor_process_context_switches_total", name);
        let Counters { voluntary, involuntary, .. } = Counters::of_idle_process(workload.pid());
        assert_eq!(counted, (voluntary + involuntary) as f64, "switches of {name}");
    }
    [ping, pong, storm].into_iter().for_each(Workload::end);
}

/// All that a probe says it has lost.
fn total_lost(scrape: &Scrape, probe: &str) -> f64 {
    scrape.values("monitor_agent_lost_total", &[("monitor_probe", probe)]).iter().sum()
}
