//! What was said of page faults.

use anyhow::{Context, Result};

use super::{Check, check, of, short};
use crate::vm::{exposition::Exposition, transcript::Part};

/// The process that has them, which is the name of its part.
pub(super) const READER: &str = "reader";
/// How many pages it reads, as init.sh has it. Some may be in memory.
const PAGES: f64 = 200.0;

/// The faults of a process on a CPU that has come online are those that the kernel counted for it, and took no
/// longer than it says.
pub(super) fn after_hotplug(after: &Exposition, part: &Part) -> Result<Check> {
    let numbers = part.done()?;
    let (theirs, took) = numbers.split_first().context("it counted no faults")?;
    let took = took.iter().sum::<f64>() / 1e9;
    let ours = |part: &str| {
        of(after, &format!("monitor_process_memory_fault_latency_seconds_{part}"), READER)
    };
    let (count, sum) = (ours("count"), ours("sum"));
    let holds = *theirs >= PAGES / 2.0 && count == *theirs && sum > 0.0 && sum <= took;
    let found =
        format!("{count} of {theirs} faults, in {} s of its own {}", short(sum), short(took));
    Ok(check("faults after CPU hotplug", holds, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_the_kernels_and_no_longer() {
        let took = vec!["1000000"; 200].join(" ");
        let part = Part { text: format!("done 150 {took}\n"), code: 0 };
        let holds = |count: u32, sum: f64| {
            let label = format!("{{process_executable_name=\"{READER}\"}}");
            let metric = "monitor_process_memory_fault_latency_seconds";
            let text = format!("{metric}_count{label} {count}\n{metric}_sum{label} {sum}\n");
            after_hotplug(&Exposition::parse(&text).unwrap(), &part).unwrap().result.is_ok()
        };
        assert!(holds(150, 0.1));
        assert!(!holds(149, 0.1), "one is missing");
        assert!(!holds(150, 0.3), "longer than it took");
        let none = Part { text: "cannot open".to_owned(), code: 1 };
        assert!(after_hotplug(&Exposition::parse("").unwrap(), &none).is_err());
    }
}
