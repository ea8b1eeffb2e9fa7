//! A web server and its load on one CPU: many small requests over connections that stay.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use monitor_backends::{free_port, http};

use super::{
    Setup,
    daemon::Daemon,
    pingpong,
    report::{Figure, Unit},
    rounds::{interleave, ratio, several},
    service::Service,
};
use crate::workspace;

/// The CPU that both run on.
const ON_ONE_CPU: [&str; 3] = ["taskset", "-c", "1"];
/// One thread with sixteen connections, for a second.
const LOAD: [&str; 4] = ["wrk", "-t1", "-c16", "-d1s"];
const TIMEOUT: Duration = Duration::from_secs(30);

/// Of what empty programs cost: with any, the two processes may take turns more often.
const LIMIT: f64 = 1.08;

pub(super) fn run(setup: &Setup) -> Result<Vec<Figure>> {
    let address = free_port(0)?;
    let server = serve(address)?;
    let names = ["without", "empty programs", "monitor"];
    let [without, empty, monitor] = interleave(setup.rounds, (names, "us a request"), |variant| {
        let empty = (variant == 1).then(|| pingpong::empty_programs(setup)).transpose()?;
        let daemon = (variant == 2).then(|| Daemon::start(&setup.daemon, &[])).transpose()?;
        let time_us = several(|| load(address))?;
        empty.map_or(Ok(()), Service::stop)?;
        daemon.map_or(Ok(()), Daemon::stop)?;
        Ok(time_us)
    })?;
    server.stop()?;
    let command = format!("`{} {}` and nginx on one CPU", ON_ONE_CPU.join(" "), LOAD.join(" "));
    let figure = |what: &str, values: &[f64], reference: &[f64]| {
        let what = format!("Time for a web request with {what}");
        Figure::new(what, ratio(values, reference), Unit::Ratio, command.clone())
    };
    Ok(vec![
        figure("monitor / with empty programs on the same hooks", &monitor, &empty).at_most(LIMIT),
        figure("monitor / without", &monitor, &without),
        figure("empty programs / without", &empty, &without),
    ])
}

/// Starts a server of one file.
fn serve(address: SocketAddr) -> Result<Service> {
    let folder = workspace::root().join("target/bench/nginx");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let config = configure(&folder, address)?;
    let [program, arguments @ ..] = ON_ONE_CPU;
    let mut command = Command::new(program);
    command.args(arguments).arg("nginx").arg("-p").arg(&folder).arg("-c").arg(config);
    let mut service = Service::start("nginx", &mut command)?;
    service.wait_until(TIMEOUT, |_| http::get(address, "/").is_ok())?;
    Ok(service)
}

fn configure(folder: &Path, address: SocketAddr) -> Result<PathBuf> {
    let path = folder.join("nginx.conf");
    let text = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n  access_log off; keepalive_requests 1000000000;\n  \
         server {{ listen {address}; location / {{ return 200 \"hello\"; }} }}\n}}\n"
    );
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Microseconds for a request.
fn load(address: SocketAddr) -> Result<f64> {
    let [program, arguments @ ..] = ON_ONE_CPU;
    let mut command = Command::new(program);
    command.args(arguments).args(LOAD).arg(format!("http://{address}/"));
    let said = Service::finish("wrk", &mut command, TIMEOUT)?;
    let rate = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:"));
    let rate: f64 = rate
        .and_then(|rate| rate.trim().parse().ok())
        .with_context(|| format!("wrk says no rate:\n{said}"))?;
    Ok(1e6 / rate)
}
