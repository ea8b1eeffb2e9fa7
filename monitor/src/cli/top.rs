//! `monitor top`: the busiest processes of a running daemon, refreshed.

mod client;

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use clap::Args;
use serde::Deserialize;

use self::client::{Client, DaemonArgs};

#[derive(Args)]
pub(super) struct TopArgs {
    #[command(flatten)]
    daemon: DaemonArgs,
    /// Time between tables
    #[arg(long, default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How many processes to show
    #[arg(long, default_value_t = 15, value_name = "N")]
    limit: usize,
    /// Stop after so many tables
    #[arg(long, value_name = "N")]
    count: Option<u64>,
}

/// What the daemon answers, as far as it is shown.
#[derive(Deserialize)]
struct Processes {
    processes: Vec<Row>,
    /// Why there are none.
    #[serde(default)]
    not_measured: Option<String>,
}

#[derive(Deserialize)]
struct Row {
    pid: u32,
    name: String,
    #[serde(default)]
    container_id: Option<String>,
    #[serde(default)]
    systemd_unit: Option<String>,
    cpu: f64,
    runs: u64,
    runqueue_seconds: f64,
    runqueue_p50: f64,
    runqueue_p99: f64,
    throttled_seconds: f64,
    offcpu_seconds: f64,
    switches: u64,
}

/// Prints tables until interrupted, or as many as were asked for. Fails when the last has no processes, as
/// they are not measured.
pub(super) fn run(args: &TopArgs) -> Result<ExitCode> {
    let client = Client::new(&args.daemon)?;
    let mut shown = 0;
    loop {
        let body = client.get(&format!("/api/v1/processes?limit={}", args.limit))?;
        let answer: Processes = serde_json::from_str(&body)
            .with_context(|| format!("{} does not answer as monitor does", client.address))?;
        let mut out = std::io::stdout().lock();
        if out.is_terminal() {
            // To the top left, and clear what is below.
            write!(out, "\x1b[H\x1b[J")?;
        }
        match &answer.not_measured {
            Some(reason) => writeln!(out, "processes are not measured: {}", printable(reason))?,
            None => writeln!(out, "{}", table(&answer.processes))?,
        }
        writeln!(out, "metrics: {}", client.url("/metrics"))?;
        out.flush()?;
        shown += 1;
        if args.count.is_some_and(|count| shown >= count) {
            let is_measured = answer.not_measured.is_none();
            return Ok(if is_measured { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        thread::sleep(args.interval);
    }
}

fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:>8}  {:<16} {:>6} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  {}",
        "PID",
        "NAME",
        "CPU",
        "RUNS",
        "WAIT",
        "WAIT p50",
        "WAIT p99",
        "THROTTLED",
        "BLOCKED",
        "SWITCHES",
        "WHERE"
    );
    for row in rows {
        let container = row.container_id.as_deref().map(|id| id.chars().take(12).collect());
        let place = container.or(row.systemd_unit.clone()).unwrap_or_default();
        let place = printable(&place);
        let _ = write!(
            text,
            "\n{:>8}  {:<16} {:>5.1}% {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  {place}",
            row.pid,
            printable(&row.name),
            100.0 * row.cpu,
            row.runs,
            seconds(row.runqueue_seconds),
            seconds(row.runqueue_p50),
            seconds(row.runqueue_p99),
            seconds(row.throttled_seconds),
            seconds(row.offcpu_seconds),
            row.switches,
        );
    }
    text
}

/// A name without what a terminal would take for commands: anybody can call a process anything.
fn printable(name: &str) -> String {
    name.replace(char::is_control, "?")
}

/// A duration in the unit that keeps it short.
fn seconds(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        v if v < 1e-6 => format!("{:.0}ns", v * 1e9),
        v if v < 1e-3 => format!("{:.1}us", v * 1e6),
        v if v < 1.0 => format!("{:.1}ms", v * 1e3),
        v => format!("{v:.1}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{printable, seconds};

    #[test]
    fn names_cannot_command_the_terminal() {
        assert_eq!(printable("a\x1b[2J\u{9b}b\n"), "a?[2J?b?");
    }

    #[test]
    fn durations_are_short() {
        let shown = [0.0, 5e-9, 1.25e-6, 0.0123, 61.0].map(seconds);
        assert_eq!(shown, ["0", "5ns", "1.2us", "12.3ms", "61.0s"]);
    }
}
