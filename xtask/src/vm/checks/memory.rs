//! Checks of OOM kills and reclaim.

use super::{Check, EXECUTABLE, check};
use crate::vm::{exposition::Exposition, transcript::Part};

/// The program that wants more than it can get: once in a cgroup, once on the whole machine.
const HUNGRY: &str = "tail";
const VICTIMS: f64 = 2.0;
/// That cgroup.
const CGROUP: &str = "small";

/// The kernel's counters whose names begin so, together.
fn kernel(part: &Part, name: &str) -> f64 {
    let counters = part.text.lines().filter_map(|line| line.split_once(' '));
    let ours = counters.filter(|(counter, _)| counter.starts_with(name));
    ours.filter_map(|(_, count)| count.trim().parse::<f64>().ok()).sum()
}

/// Each victim is counted, and told with its cgroup.
pub(super) fn victims(after: &Exposition, part: &Part, log: &Part) -> Check {
    let killed = kernel(part, "oom_kill");
    let counted = after.sum("monitor_process_oom_kills_total", &[(EXECUTABLE, HUNGRY)]);
    let told: Vec<_> =
        log.text.lines().filter(|line| line.contains("event=\"process.oom_kill\"")).collect();
    let named = told.iter().filter(|line| line.contains(&format!("comm={HUNGRY}"))).count();
    let placed =
        told.iter().filter(|line| line.contains(&format!("memory_cgroup=\"{CGROUP}\""))).count();
    let holds = [killed, counted, told.len() as f64, named as f64] == [VICTIMS; 4] && placed == 1;
    let found = format!(
        "{killed} killed, {counted} counted, {} told, {named} of them {HUNGRY}, {placed} in {CGROUP}",
        told.len()
    );
    check("OOM victims", holds, found)
}

/// Reclaim is seen when the kernel counts some, and belongs to processes.
pub(super) fn reclaim(after: &Exposition, part: &Part) -> Check {
    let stalls = kernel(part, "allocstall");
    let count = |what: &str, kind| {
        let name = format!("monitor_{what}memory_reclaim_latency_seconds_count");
        after.sum(&name, &[("monitor_reclaim_type", kind)])
    };
    let [direct, memcg] =
        ["direct", "memcg"].map(|kind| (count("", kind), count("process_", kind)));
    // The kernel counts one again that it begins anew.
    let holds = (direct.0 > 0.0) == (stalls > 0.0)
        && direct.0 <= stalls
        && memcg.0 > 0.0
        && [direct, memcg].iter().all(|(host, groups)| host == groups);
    let found = format!(
        "{} direct of the kernel's {stalls}, {} in {CGROUP}; of processes {} and {}",
        direct.0, memcg.0, direct.1, memcg.1
    );
    check("reclaim", holds, found)
}
