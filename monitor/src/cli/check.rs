//! `monitor check`: what this kernel lets monitor measure, and what not and why.

use std::{fmt::Write as _, process::ExitCode};

use anyhow::Result;
use serde::Serialize;

use super::Format;
use crate::{
    attribution::CgroupMount,
    cgroup::Cgroups,
    config::Config,
    daemon,
    host::Host,
    kernel::{attach::HookState, namespace},
    probe::PROBES,
    view::{ProbeState, ProbeStatus},
};

/// What is found out.
#[derive(Serialize)]
struct Report {
    probes: Vec<ProbeStatus>,
    /// What else is not measured, and why.
    problems: Vec<String>,
}

/// Loads every probe, says what came of it, and unloads it again. Fails when one does not work.
pub(super) fn run(config: Config, format: Format) -> Result<ExitCode> {
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
    let mut cgroups = Cgroups::new(&paths, mount.as_ref());
    cgroups.collect(&mut |_, _, _, _| {});
    problems.extend(cgroups.absent());
    let loaded = daemon::load_probes(&config, mount.as_ref());
    let probes: Vec<_> = loaded.iter().map(daemon::Loaded::status).collect();
    let failed = probes.iter().any(|status| status.state == ProbeState::Failed);
    let report = Report { probes, problems };
    let text = match format {
        Format::Json => serde_json::to_string_pretty(&report)? + "\n",
        Format::Table => table(&report)?,
    };
    let printed = super::print(&text)?;
    Ok(if failed { ExitCode::FAILURE } else { printed })
}

fn table(report: &Report) -> Result<String, std::fmt::Error> {
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
    for problem in &report.problems {
        writeln!(text, "{problem}")?;
    }
    Ok(text)
}
