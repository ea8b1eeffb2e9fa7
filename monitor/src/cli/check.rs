//! `monitor check`: what this kernel lets monitor measure, and what not and why.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use anyhow::Result;
use serde::Serialize;

use super::Format;
use crate::{
    attribution::{CgroupMount, Names},
    cgroup::Cgroups,
    config::Config,
    daemon::{self, Loaded},
    host::Host,
    kernel::{attach::HookState, namespace},
    probe::PROBES,
    view::{AuditResult, AuditRow, ProbeState, ProbeStatus},
};

/// What is found out.
#[derive(Serialize)]
struct Report {
    probes: Vec<ProbeStatus>,
    /// Counts beside the kernel's own, if that was asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    audit: Vec<AuditRow>,
    /// What else is not measured, and why.
    problems: Vec<String>,
}

/// Loads every probe, says what came of it, and unloads it again; with `audit`, measures for as long
/// before that. Fails when a probe does not work, or what it counts is wrong.
pub(super) fn run(config: Config, audit: Option<Duration>, format: Format) -> Result<ExitCode> {
    let report = match audit {
        Some(span) => audited(&config, span),
        None => checked(&config),
    };
    let failed = report.probes.iter().any(|status| status.state == ProbeState::Failed)
        || report.audit.iter().any(|row| row.result == AuditResult::Deviates);
    let text = match format {
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        Format::Table => table(&report)?,
    };
    let printed = super::print(&text)?;
    Ok(if failed { ExitCode::FAILURE } else { printed })
}

fn audited(config: &Config, span: Duration) -> Report {
    let view = daemon::audit(config, span);
    let problems = view.problems.into_iter().chain(view.absent).collect();
    Report { probes: view.probes, audit: view.audit, problems }
}

fn checked(config: &Config) -> Report {
    let paths = config.host.paths();
    let mut problems = Vec::new();
    problems.extend(namespace::check().err().map(|error| error.to_string()));
    let mount =
        CgroupMount::detect(&paths).inspect_err(|error| problems.push(error.to_string())).ok();
    match Host::new(&paths) {
        Ok(mut host) => {
            host.collect(&mut |_| {});
            problems.extend(host.problems().map(|problem| problem.to_string()));
        }
        Err(error) => problems.push(error.to_string()),
    }
    let mut cgroups = Cgroups::new(&paths, mount.as_ref(), Names::new(&paths));
    cgroups.collect(&mut |_, _, _, _| {});
    problems.extend(cgroups.absent());
    let loaded = daemon::load_probes(config, mount.as_ref());
    problems.extend(loaded.iter().filter_map(Loaded::probe).flat_map(|probe| probe.absent()));
    let probes = loaded.iter().map(|loaded| loaded.status(None)).collect();
    Report { probes, audit: Vec::new(), problems }
}

/// Why nothing at all works, where that is one reason for every probe.
fn common_reason(probes: &[ProbeStatus]) -> Option<&str> {
    let enabled = || probes.iter().filter(|status| status.state != ProbeState::Disabled);
    let reason = enabled().next()?.reason.as_deref()?;
    let is_same = |status: &ProbeStatus| {
        let no_hooks = status.hooks.is_empty() && status.state == ProbeState::Failed;
        no_hooks && status.reason.as_deref() == Some(reason)
    };
    enabled().all(is_same).then_some(reason)
}

fn table(report: &Report) -> Result<String, std::fmt::Error> {
    if let Some(reason) = common_reason(&report.probes) {
        return Ok(format!("{reason}\n"));
    }
    let mut text = String::new();
    for status in &report.probes {
        let help =
            PROBES.iter().find(|desc| desc.name == status.probe).map_or("", |desc| desc.help);
        writeln!(text, "{}  {:?}  {help}", status.probe, status.state)?;
        if let Some(reason) = &status.reason {
            writeln!(text, "  {reason}")?;
        }
        for hook in &status.hooks {
            writeln!(text, "  {:20} {}", hook.hook, hook.state)?;
            if let Some(without) = hook.without {
                writeln!(text, "  {:20} not measured: {without}", "")?;
            }
            if let HookState::Failed { verifier, .. } = &hook.state {
                for line in verifier {
                    writeln!(text, "  {:20} | {line}", "")?;
                }
            }
        }
    }
    if !report.audit.is_empty() {
        writeln!(text, "{}", audit_line(&AUDIT_HEAD))?;
    }
    for row in &report.audit {
        let ratio = row.ratio().map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
        let result = match row.result {
            AuditResult::Agrees => "agrees",
            AuditResult::Deviates => "DEVIATES",
            AuditResult::TooLittle => "too little",
        };
        let (measured, reference) = (row.measured.to_string(), row.reference.to_string());
        let expected = match (row.at_least, row.at_most) {
            (least, None) => format!(">= {least}"),
            (least, Some(most)) if least == most => least.to_string(),
            (least, Some(most)) => format!("{least} to {most}"),
        };
        let (device, source) = (&row.device, row.source);
        let columns = [
            row.probe,
            row.counter,
            device,
            &measured,
            &reference,
            &ratio,
            &expected,
            result,
            source,
        ];
        writeln!(text, "{}", audit_line(&columns))?;
    }
    for problem in &report.problems {
        writeln!(text, "{problem}")?;
    }
    Ok(text)
}

const AUDIT_HEAD: [&str; 9] =
    ["PROBE", "COUNTER", "DEVICE", "MEASURED", "KERNEL", "RATIO", "EXPECTED", "RESULT", "SOURCE"];

/// A line of the audit's table.
fn audit_line(columns: &[&str; 9]) -> String {
    let [probe, counter, device, measured, reference, ratio, expected, result, source] = columns;
    format!(
        "{probe:7} {counter:24} {device:10} {measured:>14} {reference:>14} {ratio:>7} {expected:>9}  \
         {result:10} {source}"
    )
}
