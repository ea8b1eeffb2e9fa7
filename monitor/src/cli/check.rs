//! `monitor check`: what this kernel lets monitor measure, and what not and why.

use std::process::ExitCode;

use anyhow::Result;
use serde::Serialize;

use super::Format;
use crate::{
    attribution::CgroupMount,
    config::Config,
    daemon,
    host::{Host, HostPaths},
    kernel::attach::HookState,
    probe::PROBES,
    view::{ProbeState, ProbeStatus},
};

/// What is printed for programs.
#[derive(Serialize)]
struct Report<'a> {
    probes: &'a [ProbeStatus],
    /// What is not measured of the host, and why.
    host: &'a [String],
}

/// Loads every probe, says what came of it, and unloads it again. Fails when one does not work.
pub(super) fn run(config: Config, format: Format) -> Result<ExitCode> {
    let mount = CgroupMount::detect(&config.host.paths()).inspect_err(|error| eprintln!("{error}"));
    let host = host_problems(&config.host.paths());
    let loaded = daemon::load_probes(&config, mount.as_ref().ok());
    let statuses: Vec<_> = loaded.into_iter().map(|loaded| loaded.status).collect();
    match format {
        Format::Json => {
            let report = Report { probes: &statuses, host: &host };
            println!("{}", serde_json::to_string_pretty(&report)?);
        }
        Format::Table => {
            statuses.iter().for_each(print);
            host.iter().for_each(|problem| println!("host: {problem}"));
        }
    }
    let failed = statuses.iter().any(|status| status.state == ProbeState::Failed);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// What is not measured of the host, and why.
fn host_problems(paths: &HostPaths) -> Vec<String> {
    match Host::new(paths) {
        Ok(mut host) => {
            host.collect(&mut |_| {});
            host.problems().map(|problem| problem.to_string()).collect()
        }
        Err(error) => vec![error.to_string()],
    }
}

fn print(status: &ProbeStatus) {
    let help = PROBES.iter().find(|desc| desc.name == status.probe).map_or("", |desc| desc.help);
    println!("{}  {:?}  {help}", status.probe, status.state);
    if let Some(reason) = &status.reason {
        println!("  {reason}");
    }
    for hook in &status.hooks {
        println!("  {:20} {}", hook.hook, hook.state);
        if let Some(without) = hook.without {
            println!("  {:20} not measured: {without}", "");
        }
        if let HookState::Failed { verifier, .. } = &hook.state {
            verifier.iter().for_each(|line| println!("  {:20} | {line}", ""));
        }
    }
}
