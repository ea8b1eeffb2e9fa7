//! Judging what a machine said.

mod audit;
pub(crate) mod block;
mod crowd;
mod exits;
mod faults;
mod memory;
mod names;
mod tcp;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    Limits,
    exposition::Exposition,
    facts::Facts,
    transcript::{Part, Transcript},
};

/// What was looked at, and what was found or is wrong.
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) result: Result<String, String>,
}

/// Processes that are alone under their names, and lived from after the daemon's start to the end.
const PROCESSES: [&str; 4] = ["hog", "waker", "echoer", "sleeper"];
/// Those of them that moved to a container's cgroup.
const CONTAINED: [&str; 2] = ["waker", "echoer"];
/// A quarter of that container's id; all are the same.
const CONTAINER: &str = "0123456789abcdef";
/// The least time that `sleeper` was blocked in seconds, by what it does.
const SLEPT: f64 = 3.0;
/// Processes that live for a moment.
const FORKS: f64 = 300.0;
/// Units that exist for less than a tick.
const SHORT_UNITS: u32 = 10;
/// Processes that end in each of them.
const IN_SHORT_UNIT: f64 = 5.0;
/// What the scheduler's probe has to account for.
const LOSSES: [&str; 4] = ["unmatched", "implausible", "no_storage", "exited_full"];
/// What a healthy kernel never says.
const ALARMS: [&str; 6] =
    ["BUG: ", "WARNING: ", "Oops", "Kernel panic", "general protection", "monitor["];

const RUNQUEUE: &str = "monitor_process_runqueue_latency_seconds";
const OFFCPU: &str = "monitor_process_offcpu_latency_seconds";
const CPU: &str = "monitor_process_cpu_time_seconds_total";
const SWITCHES: &str = "monitor_process_context_switches_total";
const EXECUTABLE: &str = "process_executable_name";

/// Everything that can be said of a machine that ran to its end.
pub(super) fn all(transcript: &Transcript) -> Result<Vec<Check>> {
    let (before, ctxt_before) = counts(transcript.part("before")?)?;
    let (after, ctxt_after) = counts(transcript.part("after")?)?;
    let facts = &transcript.part("facts")?.text;
    let mut checks = vec![
        hooks(transcript.part("check")?)?,
        health(transcript.part("health")?)?,
        losses(&before, &after, &transcript.part("kernel")?.text),
        host("runqueue", &before, &after),
        host("offcpu", &before, &after),
        switches(&before, &after, ctxt_after - ctxt_before),
    ];
    for name in PROCESSES {
        process(name, &after, &Facts::of(name, facts)?, &mut checks);
    }
    let hog = Facts::of("hog", facts)?;
    checks.extend([
        near("hog: waiting time", of(&after, &format!("{RUNQUEUE}_sum"), "hog"), hog.wait, 0.03),
        blocked(&after),
        forks(&after, &Facts::of("forks", facts)?),
        container(&after),
        ends(&after),
        short_units(&after),
        throttled(&after, transcript.part("throttled")?),
        throttled_waits(&after, transcript.part("throttled")?, transcript.part("check")?),
        memory::victims(&after, transcript.part("memory")?, transcript.part("log")?),
        memory::reclaim(&after, transcript.part("memory")?),
        top(transcript.part("top")?),
        stop(transcript.part("stop")?, transcript.part("log")?),
        console(&transcript.console),
    ]);
    for name in names::ASKERS {
        checks.push(names::asked(name, &after, transcript.part(name)?)?);
    }
    checks.extend([
        names::matched("misled", 5.0, &after, transcript.part("misled")?)?,
        names::matched("racer", 0.0, &after, transcript.part("racer")?)?,
        names::servers(&after),
        tcp::connection(tcp::BY_TCP, &after, transcript.part(tcp::BY_TCP[0])?)?,
        tcp::connection(tcp::BY_MPTCP, &after, transcript.part(tcp::BY_MPTCP[0])?)?,
        tcp::is_mptcp(transcript.part(tcp::BY_MPTCP[0])?)?,
        tcp::fast_open(&after, transcript.part(tcp::BY_FAST_OPEN[0])?)?,
        exits::of_threads(&after, transcript.part(exits::NAME)?)?,
        crowd::counted(&before, &after, transcript.part(crowd::NAME)?)?,
        faults::after_hotplug(&after, transcript.part(faults::READER)?)?,
    ]);
    let mut disks = Vec::new();
    for disk in block::DISKS {
        let part = transcript.part(disk.0)?;
        checks.push(block::disk(disk, &before, &after, part)?);
        disks.extend(part.text.lines().next());
    }
    checks.extend(audit::rows(transcript.part(audit::NAME)?, &disks)?);
    Ok(checks)
}

/// What can be said of a machine whose kernel lacks what probes need: `monitor check` says why, and the
/// daemon does no harm.
pub(super) fn limited(transcript: &Transcript, limits: &Limits) -> Result<Vec<Check>> {
    let said = transcript.part("check")?;
    let text = said.text.trim();
    let holds = said.code == limits.code
        && text.contains(limits.says)
        && text.lines().count() <= limits.lines;
    let reason = text.lines().find(|line| line.contains(limits.says)).filter(|_| holds);
    Ok(vec![
        check("monitor check", holds, reason.unwrap_or(text).trim().to_owned()),
        console(&transcript.console),
    ])
}

/// A scrape, and the kernel's count of context switches.
fn counts(part: &Part) -> Result<(Exposition, f64)> {
    let (ctxt, metrics) = part.text.split_once('\n').context("a scrape is missing")?;
    let ctxt = ctxt.strip_prefix("ctxt ").context("the kernel's context switches are missing")?;
    Ok((Exposition::parse(metrics)?, ctxt.trim().parse()?))
}

pub(crate) fn check(name: impl Into<String>, holds: bool, found: String) -> Check {
    Check { name: name.into(), result: if holds { Ok(found) } else { Err(found) } }
}

/// Two numbers that are to differ by at most a share of the second.
fn near(name: impl Into<String>, ours: f64, theirs: f64, share: f64) -> Check {
    let found = format!("{} of the kernel's {}", short(ours), short(theirs));
    check(name, theirs > 0.0 && (ours - theirs).abs() <= share * theirs, found)
}

/// A whole number, or one with some digits.
fn short(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { format!("{value:.4}") }
}

/// A metric of the processes of one name.
fn of(scrape: &Exposition, metric: &str, executable: &str) -> f64 {
    scrape.sum(metric, &[(EXECUTABLE, executable)])
}

/// Every hook of every probe is attached, but for those that no kernel has.
fn hooks(part: &Part) -> Result<Check> {
    let said: Value = serde_json::from_str(&part.text)
        .with_context(|| format!("`monitor check` printed no JSON but {}", part.text.trim()))?;
    let hooks: Vec<&Value> = said["probes"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|probe| probe["hooks"].as_array().into_iter().flatten())
        .filter(|hook| hook["state"] != "unavailable")
        .collect();
    let refused: Vec<_> = hooks.iter().filter(|hook| hook["state"] != "attached").collect();
    Ok(match refused[..] {
        [] if part.code != 0 || hooks.is_empty() => {
            check("hooks", false, format!("`monitor check` failed: {}", part.text.trim()))
        }
        [] => check("hooks", true, format!("all {} attached", hooks.len())),
        _ => check(
            "hooks",
            false,
            format!("not attached: {}", serde_json::to_string_pretty(&refused)?),
        ),
    })
}

/// The daemon ticks, and its probes work. What a machine without sensors does not have is
/// no fault.
fn health(part: &Part) -> Result<Check> {
    let health: Value = serde_json::from_str(&part.text).context("/health is no JSON")?;
    let probes = health["probes"].as_array().context("/health has no probes")?;
    let works = probes.iter().all(|probe| probe["state"] == "active");
    let holds = works && !probes.is_empty() && health["status"] != "stuck";
    let found = format!("tick {}, active probes: {}", health["tick"], probes.len());
    Ok(check("health", holds, if holds { found } else { part.text.trim().to_owned() }))
}

/// Nothing is lost, but for what the `crowd` check accounts for, and for switches that the kernel does not
/// show as a CPU comes online, before the first scrape; and for threads that both programs were skipped for which
/// make their storage, in their first tick. Before Linux 6.2 the kernel refuses a program the
/// storage of a thread while it changes other storage on that CPU, so there some ends of threads can only
/// be counted as unread.
fn losses(before: &Exposition, after: &Exposition, release: &str) -> Check {
    const LOST: &str = "monitor_agent_lost_total";
    const UNREAD: &str = "exit_unread";
    const SWITCHES: [(&str, &str); 2] =
        [("monitor_probe", "sched"), ("monitor_loss_reason", "unmatched")];
    const NO_STORAGE: [(&str, &str); 2] =
        [("monitor_probe", "sched"), ("monitor_loss_reason", "no_storage")];
    /// How often a thread of a workload switches in its first tick, at most.
    const IN_FIRST_TICK: f64 = 20.0;
    let may_be_unread = release.starts_with("6.1.");
    let earlier = before.sum(LOST, &SWITCHES);
    let switches = after.values(LOST, &SWITCHES).map(|count| ("unmatched", count - earlier));
    let others =
        after.by_label(LOST, "monitor_loss_reason", &[&crowd::MISSED, &SWITCHES, &NO_STORAGE]);
    let skipped = ["task_newtask", "sched_process_fork"].map(|program| {
        let labels = [("monitor_probe", "sched"), ("monitor_program", program)];
        after.sum("monitor_agent_bpf_recursion_misses_total", &labels)
    });
    let most = IN_FIRST_TICK * skipped[0].min(skipped[1]);
    let unstored = after.values(LOST, &NO_STORAGE);
    let unstored = unstored.map(|count| ("no_storage", if count <= most { 0.0 } else { count }));
    let all: Vec<_> = others.chain(switches).chain(unstored).collect();
    let said: BTreeSet<&str> = all.iter().map(|(reason, _)| *reason).collect();
    let mut wrong: Vec<_> = all
        .iter()
        .filter(|(reason, count)| *count != 0.0 && !(may_be_unread && *reason == UNREAD))
        .map(|(reason, count)| format!("{reason} {count}"))
        .collect();
    let absent = LOSSES.iter().filter(|reason| !said.contains(**reason));
    wrong.extend(absent.map(|reason| format!("{reason} absent")));
    let found = if wrong.is_empty() { format!("none of {}", said.len()) } else { wrong.join(", ") };
    check("losses", wrong.is_empty(), found)
}

/// In both scrapes the groups add up to the host, and something was measured in between.
fn host(what: &str, before: &Exposition, after: &Exposition) -> Check {
    let difference = |scrape: &Exposition, part: &str| {
        let groups = scrape.sum(&format!("monitor_process_{what}_latency_seconds_{part}"), &[]);
        let host = scrape.sum(&format!("monitor_sched_{what}_latency_seconds_{part}"), &[]);
        ((groups - host).abs(), host)
    };
    let mut holds = true;
    for scrape in [before, after] {
        // Sums are exact in nanoseconds; here they went through decimal fractions.
        holds &= difference(scrape, "count").0 == 0.0 && difference(scrape, "sum").0 < 1e-6;
    }
    let (counts, count) = difference(after, "count");
    let (sums, sum) = difference(after, "sum");
    let found = format!("{count} in {sum:.3} s; groups differ by {counts} and {sums:.9} s");
    let grew = count > difference(before, "count").1;
    check(format!("groups add up: {what}"), holds && grew, found)
}

/// Scrapes lag behind the kernel by a tick, in which a nearly idle machine switches some times.
fn switches(before: &Exposition, after: &Exposition, theirs: f64) -> Check {
    const HOST: &str = "monitor_sched_context_switches_total";
    near("context switches", after.sum(HOST, &[]) - before.sum(HOST, &[]), theirs, 0.02)
}

/// A process's numbers are the kernel's, and its time was either on a CPU, or waiting, or blocked.
fn process(name: &str, after: &Exposition, facts: &Facts, checks: &mut Vec<Check>) {
    let ours = |metric: &str| of(after, metric, name);
    let cpu = ours(CPU);
    let wait = ours(&format!("{RUNQUEUE}_sum"));
    let blocked = ours(&format!("{OFFCPU}_sum"));
    let runs = ours(&format!("{RUNQUEUE}_count"));
    let switches = ours(SWITCHES);
    // What it did before it had its name counts for another, as far as that was in an earlier tick.
    let few = 3.0 * f64::from(facts.processes);
    let least = few + facts.unnamed;
    // The kernel does not count a run after a preemption amid going to sleep, but the switch.
    let their_switches = facts.voluntary + facts.involuntary;
    let between = |what: &str, ours: f64, theirs: f64| {
        let found = format!("{ours} of the kernel's {theirs} to {their_switches}");
        let holds = (theirs - least..=their_switches + few).contains(&ours);
        check(format!("{name}: {what}"), holds, found)
    };
    checks.extend([
        near(format!("{name}: CPU time"), cpu, facts.cpu, 0.01 + 0.02 / facts.cpu.max(0.02)),
        between("runs", runs, facts.runs),
        between("switches", switches, their_switches),
        near(format!("{name}: all its time"), cpu + wait + blocked, facts.lifetime, 0.03),
    ]);
}

fn blocked(after: &Exposition) -> Check {
    let seconds = of(after, &format!("{OFFCPU}_sum"), "sleeper");
    check("sleeper: blocked time", seconds >= SLEPT, format!("{seconds:.3} s, at least {SLEPT} s"))
}

/// Nothing is lost of processes that live for a moment.
fn forks(after: &Exposition, facts: &Facts) -> Check {
    let ours = of(after, CPU, "forks") + of(after, CPU, "true");
    // The kernel says it in four numbers, each cut to hundredths of a second.
    near("forks: CPU time of all", ours, facts.cpu_of_all, 0.02 + 0.04 / facts.cpu_of_all)
}

/// Every process that lived for a moment has ended.
fn ends(after: &Exposition) -> Check {
    let labels = [(EXECUTABLE, "true"), ("monitor_exit_class", "success")];
    let ends = after.sum("monitor_process_exits_total", &labels);
    check("forks: ends", ends == FORKS, format!("{ends} of {FORKS}"))
}

/// The cgroup of a process is read right.
fn container(after: &Exposition) -> Check {
    let id = CONTAINER.repeat(4);
    let contained = |name| after.sum(CPU, &[(EXECUTABLE, name), ("container_id", &id)]) > 0.0;
    let holds = CONTAINED.iter().all(|name| contained(name));
    check("container", holds, format!("{} in {CONTAINER}...", CONTAINED.join(" and ")))
}

/// Processes are attributed to units that exist for less than a tick.
fn short_units(after: &Exposition) -> Check {
    let ends = |number: u32| {
        let unit = format!("short-{number}.service");
        after.sum("monitor_process_exits_total", &[(EXECUTABLE, "uname"), ("systemd_unit", &unit)])
    };
    let named = (0..SHORT_UNITS).filter(|number| ends(*number) == IN_SHORT_UNIT).count();
    check("short units", named == SHORT_UNITS as usize, format!("{named} of {SHORT_UNITS}"))
}

/// A number that the throttled unit's `cpu.stat` says.
fn stat(part: &Part, name: &str) -> f64 {
    let value = part.text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or(f64::NAN)
}

/// The labels of the throttled unit.
const THROTTLED_UNIT: [(&str, &str); 1] = [("systemd_unit", "throttled.service")];

/// Its one busy thread waited for the quota as long as the cgroup was throttled; or it says that the kernel
/// does not tell.
fn throttled_waits(after: &Exposition, part: &Part, said: &Part) -> Check {
    const HOST: &str = "monitor_sched_throttled_latency_seconds_sum";
    const PROCESSES: &str = "monitor_process_cpu_throttled_latency_seconds_sum";
    let name = "throttled waits";
    if after.values(HOST, &[]).next().is_none() {
        let reason =
            said.text.lines().find(|line| line.contains("unsupported, the kernel has no cfs_rq"));
        return check(name, reason.is_some(), reason.unwrap_or("not measured").trim().to_owned());
    }
    let theirs = stat(part, "throttled_usec ") / 1e6;
    near(name, after.sum(PROCESSES, &THROTTLED_UNIT), theirs, 0.05)
}

/// What a unit counted until its end is what its file said last.
fn throttled(after: &Exposition, part: &Part) -> Check {
    let ours = |name: &str| after.sum(name, &THROTTLED_UNIT);
    let said = [stat(part, "nr_periods "), stat(part, "nr_throttled ")];
    let ours = ["monitor_cgroup_cpu_periods_total", "monitor_cgroup_cpu_throttled_periods_total"]
        .map(ours);
    let found = format!("periods, throttled periods {ours:?} of the kernel's {said:?}");
    check("throttled unit", ours == said && said[1] > 0.0, found)
}

fn top(part: &Part) -> Check {
    let found = part.text.lines().find(|line| line.contains(" hog "));
    let text = found.map_or_else(|| part.text.trim().to_owned(), |line| line.trim().to_owned());
    check("monitor top", part.code == 0 && found.is_some(), text)
}

/// The daemon ends well, and never panicked.
fn stop(stop: &Part, log: &Part) -> Check {
    let holds = stop.code == 0 && !log.text.contains("panicked") && !log.text.contains("ERROR");
    let found = if holds { "exit code 0".to_owned() } else { log.text.trim().to_owned() };
    check("stop", holds, found)
}

/// The kernel never raised an alarm.
pub(crate) fn console(console: &str) -> Check {
    let alarms: Vec<&str> =
        console.lines().filter(|line| ALARMS.iter().any(|alarm| line.contains(alarm))).collect();
    let found = if alarms.is_empty() { "nothing".to_owned() } else { alarms.join("\n") };
    check("the kernel's alarms", alarms.is_empty(), found)
}

#[cfg(test)]
mod tests;
