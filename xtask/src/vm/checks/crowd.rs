//! What was said of processes that are made and end beside others that want the same CPUs: where
//! tracepoints leave preemption on, the kernel skips a program on the CPU of a task that is preempted
//! in it.

use anyhow::{Context, Result, ensure};

use super::{Check, EXECUTABLE, check};
use crate::vm::{exposition::Exposition, transcript::Part};

/// The labels of what neither of two programs saw of a process.
pub(super) const MISSED: [(&str, &str); 2] =
    [("monitor_probe", "process"), ("monitor_loss_reason", "recursion_misses")];
/// Their name, and that of the part that says how many there were.
pub(super) const NAME: &str = "crowd";

/// How many children they had, each of which was waited for, and how many processes and threads the
/// kernel made in the meantime.
fn own(part: &Part) -> Result<(f64, f64)> {
    let (mut children, mut processes) = (0, Vec::new());
    for line in part.text.lines() {
        let (word, numbers) = line.trim().split_once(' ').unwrap_or_default();
        match word {
            "done" => children += numbers.split(' ').count() / 3,
            "processes" => processes.push(numbers.parse::<f64>()?),
            _ => {}
        }
    }
    ensure!(children > 0, "nothing was done");
    let [before, after] = processes[..] else { anyhow::bail!("the kernel's counts are missing") };
    Ok((children as f64, after - before))
}

/// Each was made once and ended once, or is counted as missed. What is missed of others counts too, so there
/// may be more of that.
pub(super) fn counted(before: &Exposition, after: &Exposition, part: &Part) -> Result<Check> {
    let (children, processes) = own(part).with_context(|| part.text.trim().to_owned())?;
    let ours =
        |what: &str| after.sum(&format!("monitor_process_{what}_total"), &[(EXECUTABLE, NAME)]);
    let of_parents = ours("execs");
    let (forks, ends) = (ours("forks"), ours("exits") - of_parents);
    let missed = |scrape: &Exposition| scrape.sum("monitor_agent_lost_total", &MISSED);
    let missed = missed(after) - missed(before);
    let skipped =
        after.sum("monitor_agent_bpf_recursion_misses_total", &[("monitor_probe", "process")]);
    let seen = forks + ends;
    let holds = processes >= children && seen <= 2.0 * children && seen + missed >= 2.0 * children;
    let found = format!(
        "{forks} forks, {ends} ends and {missed} missed of {children} children; {skipped} runs skipped"
    );
    Ok(check("crowd: forks and ends", holds, found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_and_what_is_missed_are_all() {
        let text = "processes 100\ndone 7 0 900 8 0 900\ndone 9 0 900\nprocesses 104\n".to_owned();
        let part = Part { text, code: 0 };
        let holds = |forks: u32, exits: u32, missed: u32| {
            let text = format!(
                "monitor_process_forks_total{{{EXECUTABLE}=\"crowd\"}} {forks}\n\
                 monitor_process_execs_total{{{EXECUTABLE}=\"crowd\"}} 2\n\
                 monitor_process_exits_total{{{EXECUTABLE}=\"crowd\"}} {exits}\n\
                 monitor_agent_lost_total{{monitor_loss_reason=\"recursion_misses\",\
                 monitor_probe=\"process\"}} {missed}\n"
            );
            let before = Exposition::parse("").unwrap();
            counted(&before, &Exposition::parse(&text).unwrap(), &part).unwrap().result.is_ok()
        };
        assert!(holds(3, 5, 0));
        assert!(holds(3, 4, 1));
        assert!(holds(3, 5, 1), "one of another process");
        assert!(!holds(3, 4, 0), "one end was not seen");
        assert!(!holds(4, 5, 0), "one was counted twice");
        let nothing = Exposition::parse("").unwrap();
        let none = Part { text: "processes 1\nprocesses 1\n".to_owned(), code: 0 };
        assert!(counted(&nothing, &nothing, &none).is_err());
    }
}
