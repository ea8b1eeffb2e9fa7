use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::host::scratch::Scratch;
use crate::host::tests::{Values, elsewhere, output, read, value};

/// Jiffies by CPU and column, straight from the file.
fn jiffies() -> BTreeMap<String, Vec<u64>> {
    let stat = std::fs::read_to_string("/proc/stat").unwrap();
    let columns = |line: &str| -> (String, Vec<u64>) {
        let (cpu, columns) = line.split_once(' ').unwrap();
        (cpu[3..].to_owned(), columns.split(' ').map(|it| it.parse().unwrap()).collect())
    };
    stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).map(columns).collect()
}

fn attributes(cpu: &str, mode: &str) -> String {
    format!("cpu.logical_number={cpu},cpu.mode={mode}")
}

/// The sums of the modes of each CPU.
fn sums(values: &Values) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    for ((name, attributes), share) in values {
        if *name == metric::SYSTEM_CPU_UTILIZATION.name {
            let (cpu, _) = attributes.split_once(",cpu.mode=").unwrap();
            *sums.entry(cpu.to_owned()).or_default() += share;
        }
    }
    sums
}

#[test]
fn cpu_time_lies_between_two_readings_of_the_file() {
    let mut cpu = Cpu::new(&HostPaths::default());
    let before = jiffies();
    let values = read(&mut cpu);
    let after = jiffies();
    for (number, before) in &before {
        let after = &after[number];
        for (mode, columns) in [
            ("user", &[0][..]),
            ("nice", &[1]),
            ("system", &[2]),
            ("idle", &[3]),
            ("iowait", &[4]),
            ("interrupt", &[5, 6]),
            ("steal", &[7]),
        ] {
            let seconds = value(&values, &metric::SYSTEM_CPU_TIME, &attributes(number, mode));
            let sum = |of: &[u64]| columns.iter().map(|column| of[*column]).sum::<u64>() as f64;
            // Idle and iowait time may be taken back by a jiffy or two.
            let bracket = sum(before) / 100.0 - 0.02..=sum(after) / 100.0 + 0.02;
            assert!(bracket.contains(&seconds), "{mode} of {number}: {seconds} in {bracket:?}");
        }
    }
}

#[test]
fn a_tick_is_a_hundredth_of_a_second() {
    assert_eq!(output("getconf", &["CLK_TCK"]).trim().parse(), Ok(TICKS_PER_SECOND));
}

#[test]
fn the_cpus_are_those_that_are_online() {
    let count: f64 = output("getconf", &["_NPROCESSORS_ONLN"]).trim().parse().unwrap();
    let values = read(&mut Cpu::new(&HostPaths::default()));
    assert_eq!(value(&values, &metric::SYSTEM_CPU_LOGICAL_COUNT, ""), count);
}

#[test]
fn utilisation_adds_up_to_one_and_shows_who_is_busy() {
    let mut cpu = Cpu::new(&HostPaths::default());
    assert!(sums(&read(&mut cpu)).is_empty(), "one reading makes no utilisation");
    let end = Instant::now() + Duration::from_millis(400);
    while Instant::now() < end {
        std::hint::black_box(end);
    }
    let values = read(&mut cpu);
    let sums = sums(&values);
    assert_eq!(sums.len(), jiffies().len());
    for (cpu, sum) in sums {
        assert!((sum - 1.0).abs() < 1e-9, "{cpu}: {sum}");
    }
    // The second where somebody has niced the tests.
    let is_own = |attributes: &str| ["=user", "=nice"].iter().any(|it| attributes.ends_with(it));
    let own = |((name, attributes), share): (&(&str, String), &f64)| {
        (*name == metric::SYSTEM_CPU_UTILIZATION.name && is_own(attributes)).then_some(*share)
    };
    let busy: f64 = values.iter().filter_map(own).sum();
    assert!(busy > 0.5, "this thread ran, and only {busy} of a CPU was busy");
}

/// Two ticks of a made-up host.
fn two_ticks(first: &str, second: &str) -> (Cpu, Values) {
    let scratch = Scratch::new("cpu");
    scratch.write("proc/stat", first);
    let mut cpu = Cpu::new(&elsewhere(&scratch));
    read(&mut cpu);
    scratch.write("proc/stat", second);
    let values = read(&mut cpu);
    (cpu, values)
}

#[test]
fn made_up_files() {
    let (_, values) = two_ticks(
        "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 20 30 400 50 6 7 8 90 10\n\
         cpu1 0 0 0 100 0 0 0 0 0 0\nintr 1 2 3\nprocs_running 3\nprocs_blocked 2\n",
        // CPU 0 took idle time back, CPU 1 went off line and CPU 2 came.
        "cpu0 150 20 30 390 50 16 17 38 90 10\ncpu2 0 0 0 7 0 0 0 0 0 0\n\
         procs_running 1\nprocs_blocked 0\n",
    );
    let time = |cpu, mode| value(&values, &metric::SYSTEM_CPU_TIME, &attributes(cpu, mode));
    let share = |cpu, mode| value(&values, &metric::SYSTEM_CPU_UTILIZATION, &attributes(cpu, mode));
    assert_eq!(time("0", "user"), 1.5, "guest time is in it already");
    assert_eq!(time("0", "idle"), 4.0, "a counter does not go back");
    assert_eq!(time("0", "interrupt"), 0.33);
    assert_eq!([share("0", "user"), share("0", "idle")], [0.5, 0.0]);
    assert_eq!([share("0", "interrupt"), share("0", "steal")], [0.2, 0.3]);
    assert_eq!(time("2", "idle"), 0.07);
    assert!(!values.keys().any(|(_, attributes)| attributes.contains("number=1")));
    assert_eq!(value(&values, &metric::SYSTEM_CPU_LOGICAL_COUNT, ""), 2.0);
    let threads = |state| value(&values, &metric::HOST_THREADS, state);
    assert_eq!(threads("monitor.thread.state=runnable"), 1.0);
    assert_eq!(threads("monitor.thread.state=blocked"), 0.0);
}

#[test]
fn a_cpu_that_was_offline_counts_on_from_what_the_kernel_has_now() {
    let scratch = Scratch::new("cpu-hotplug");
    let mut cpu = Cpu::new(&elsewhere(&scratch));
    let mut times = |stat: &str| {
        scratch.write("proc/stat", stat);
        let values = read(&mut cpu);
        ["user", "idle", "iowait"].map(|mode| {
            let key = (metric::SYSTEM_CPU_TIME.name, attributes("1", mode));
            values.get(&key).copied()
        })
    };
    let other = "cpu0 1 0 0 1 0 0 0 0\n";
    let of = |columns: &str| format!("{other}cpu1 {columns}\n");
    assert_eq!(times(&of("500 0 0 90000 700 0 0 0")), [Some(5.0), Some(900.0), Some(7.0)]);
    // As before Linux 6.9: idle and iowait time begin at zero again, the others keep counting.
    assert_eq!(times(other), [None; 3]);
    assert_eq!(times(&of("500 0 0 0 0 0 0 0")), [Some(5.0), Some(0.0), Some(0.0)]);
    assert_eq!(times(&of("510 0 0 60 3 0 0 0")), [Some(5.1), Some(0.6), Some(0.03)]);
    // Online again before the next reading.
    assert_eq!(times(&of("520 0 0 1 0 0 0 0")), [Some(5.2), Some(0.01), Some(0.0)]);
    // As since Linux 6.9.
    assert_eq!(times(&of("530 0 0 2000 40 0 0 0")), [Some(5.3), Some(20.0), Some(0.4)]);
    assert_eq!(times(other), [None; 3]);
    assert_eq!(times(&of("530 0 0 2000 40 0 0 0")), [Some(5.3), Some(20.0), Some(0.4)]);
}

#[test]
fn time_that_is_taken_back_waits_until_it_is_spent() {
    let wait = "cpu0 1000 0 0 9000 60 0 0 0\n";
    // What had been iowait is idle time after all, and a jiffy of idle time is gone.
    let (mut cpu, values) = two_ticks(wait, "cpu0 1000 0 0 8999 0 0 0 0\n");
    let time =
        |values: &Values, mode| value(values, &metric::SYSTEM_CPU_TIME, &attributes("0", mode));
    assert_eq!([time(&values, "idle"), time(&values, "iowait")], [90.0, 0.6]);
    let scratch = Scratch::new("cpu-back");
    scratch.write("proc/stat", "cpu0 1000 0 0 9070 61 0 0 0\n");
    cpu.stat = ProcFile::new(scratch.path("proc/stat"));
    let values = read(&mut cpu);
    assert_eq!([time(&values, "idle"), time(&values, "iowait")], [90.7, 0.61]);
}

#[test]
fn a_file_without_cpus_is_an_error() {
    let scratch = Scratch::new("cpu-none");
    for content in ["", "cpu 1 2 3 4 5 6 7 8\n", "cpu0 1 2\n", "cpu0\n", "procs_running x\n"] {
        scratch.write("proc/stat", content);
        let mut cpu = Cpu::new(&elsewhere(&scratch));
        assert!(cpu.refresh().is_err(), "{content:?}");
    }
}
