//! What is done in the machine, and whether the daemon has it as the kernel, systemd and Docker have.

mod accounting;
mod clocks;
mod names;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, ensure};

use super::guest::Guest;
use crate::vm::{
    self,
    checks::{Check, check, console},
    exposition::Exposition,
};

const UNIT: &str = "systemd_unit";

/// Installs the daemon and does everything.
pub(super) fn all(guest: &mut Guest, rest: u64) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for step in [host, service] {
        add(&mut checks, step(guest)?);
    }
    add(&mut checks, at_rest(guest, rest)?);
    for step in [
        names::short_units,
        names::containers,
        accounting::disk,
        accounting::bytes_of_a_unit,
        accounting::oom_kills,
        accounting::quota,
        clocks::cpu_goes_offline,
        clocks::wall_clock_is_set_back,
        stop,
    ] {
        add(&mut checks, step(guest)?);
    }
    add(&mut checks, console(&guest.console()));
    Ok(checks)
}

/// Reports a check at once: they take a while.
fn add(checks: &mut Vec<Check>, check: Check) {
    vm::report(std::slice::from_ref(&check));
    checks.push(check);
}

/// The series whose names begin with one of these, after all that has happened is in them.
fn scrape(guest: &mut Guest, names: &str) -> Result<Exposition> {
    Exposition::parse(&guest.run(&format!("settle; series '{names}'"))?.text)
}

/// It is what it is meant to be.
fn host(guest: &mut Guest) -> Result<Check> {
    let script = "stat -fc %T /sys/fs/cgroup; systemctl is-system-running --wait; docker info -f '{{.CgroupDriver}}'";
    let said = guest.run(script)?.text;
    let words: Vec<_> = said.split_whitespace().collect();
    Ok(check("host", words == ["cgroup2fs", "running", "systemd"], words.join(" ")))
}

/// The daemon runs as a service.
fn service(guest: &mut Guest) -> Result<Check> {
    let script = "
        set -e
        tar -xf /dev/disk/by-id/nvme-QEMU_NVMe_Ctrl_programs -C /opt
        mkdir -p /etc/monitor
        printf '[groups]\\ntop = 500\\n' >/etc/monitor/monitor.toml
        cat >/etc/systemd/system/monitor.service <<'END'
[Service]
Environment=NO_COLOR=1
ExecStart=/opt/monitor run
END
        systemctl daemon-reload
        systemctl start monitor
        until get ready 2>/dev/null | grep -q ^ready; do
            systemctl -q is-active monitor || { journalctl -u monitor -o cat; exit 1; }
            sleep 0.5
        done
        settle
        get health";
    let part = guest.run(script)?;
    let health: serde_json::Value = serde_json::from_str(part.text.trim()).unwrap_or_default();
    let probes = health["probes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let works =
        |probe: &&serde_json::Value| ["active", "disabled"].iter().any(|it| probe["state"] == *it);
    let (active, others): (Vec<_>, Vec<_>) = probes.iter().partition(works);
    let holds = !active.is_empty() && others.is_empty();
    let found =
        if holds { format!("{} probes", active.len()) } else { part.text.trim().to_owned() };
    ensure!(!active.is_empty(), "the daemon does not work: {found}");
    Ok(check("service", holds, found))
}

/// Nothing is lost while nothing happens.
fn at_rest(guest: &mut Guest, seconds: u64) -> Result<Check> {
    const LOST: &str = "monitor_agent_lost_total";
    let script = format!("settle; series {LOST}; sleep {seconds}; settle; echo @; series {LOST}");
    let text = guest.run_for(&script, Duration::from_secs(seconds))?.text;
    let (before, after) =
        text.split_once("@\n").with_context(|| format!("no two scrapes: {text}"))?;
    let [before, after] = [Exposition::parse(before)?, Exposition::parse(after)?];
    let reasons: BTreeSet<_> =
        after.by_label(LOST, "monitor_loss_reason", &[]).map(|(reason, _)| reason).collect();
    ensure!(!reasons.is_empty(), "no losses are counted");
    let lost = |reason: &&str| {
        let labels = [("monitor_loss_reason", *reason)];
        let lost = after.sum(LOST, &labels) - before.sum(LOST, &labels);
        (lost > 0.0).then(|| format!("{reason} {lost}"))
    };
    let all: Vec<_> = reasons.iter().filter_map(lost).collect();
    let found =
        if all.is_empty() { format!("nothing lost in {seconds} s") } else { all.join(", ") };
    Ok(check("at rest", all.is_empty(), found))
}

/// The daemon ends well.
fn stop(guest: &mut Guest) -> Result<Check> {
    let script = "
        systemctl stop monitor
        systemctl show -p Result -p ExecMainStatus --value monitor
        journalctl -u monitor -o cat | grep -E 'panicked|ERROR'";
    let said = guest.run(script)?.text;
    let words: Vec<_> = said.split_whitespace().collect();
    Ok(check("stop", words == ["success", "0"], words.join(" ")))
}
