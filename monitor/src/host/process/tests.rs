use std::process::{Child, Command, Stdio};

use super::*;
use crate::host::scratch::Scratch;
use crate::host::tests::{Values, elsewhere, read, value};

fn count(values: &Values, state: &str) -> f64 {
    value(values, &metric::SYSTEM_PROCESS_COUNT, &format!("process.state={state}"))
}

#[test]
fn every_state_has_its_word() {
    let scratch = Scratch::new("process");
    let processes = ["R", "S", "D", "I", "T", "t", "Z", "X", "S", "?"];
    for (pid, state) in processes.iter().enumerate() {
        // A command may be called anything.
        scratch.write(&format!("proc/{pid}/stat"), &format!("{pid} (a) R (b) {state} 1 1 1\n"));
    }
    scratch.write("proc/self/stat", "1 (self) R 1\n");
    scratch.write("proc/99/stat", "");
    scratch.directory("proc/98");
    let values = read(&mut Processes::new(&elsewhere(&scratch)));
    assert_eq!(count(&values, "running"), 1.0);
    assert_eq!(count(&values, "sleeping"), 4.0);
    assert_eq!(count(&values, "stopped"), 2.0);
    assert_eq!(count(&values, "defunct"), 2.0);
}

struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap())
    }

    /// Sends a signal, and waits until it is in the state that follows.
    fn signal(&self, signal: &str, state: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        let end = Instant::now() + Duration::from_secs(10);
        let is_in_state = || {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
            stat.contains(&format!(") {state} "))
        };
        while !is_in_state() {
            assert!(Instant::now() < end, "{signal} has no effect");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn stopped_and_defunct_processes_are_seen() {
    let mut processes = Processes::new(&HostPaths::default());
    let before = read(&mut processes);
    let sleepers: Vec<_> = (0..8).map(|_| Sleeper::new()).collect();
    sleepers[..4].iter().for_each(|sleeper| sleeper.signal("-STOP", "T"));
    sleepers[4..].iter().for_each(|sleeper| sleeper.signal("-KILL", "Z"));
    let after = read(&mut processes);
    // Others on this host may come and go, but hardly ever in these states.
    assert!(count(&after, "stopped") - count(&before, "stopped") >= 3.0, "{before:?} {after:?}");
    assert!(count(&after, "defunct") - count(&before, "defunct") >= 3.0, "{before:?} {after:?}");
}

#[test]
fn every_process_is_counted() {
    let pids = || {
        let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
        names.filter(|name| name.to_string_lossy().parse::<u32>().is_ok()).count() as f64
    };
    let mut processes = Processes::new(&HostPaths::default());
    let total: f64 = read(&mut processes).values().sum();
    let expected = pids();
    assert!((total - expected).abs() <= 0.1 * expected + 5.0, "{total} of {expected}");
    assert!(processes.interval() >= INTERVAL);
}
