//! The `monitor` command.

use std::process::ExitCode;

use clap::Parser;
use monitor::cli::{self, Cli};

fn main() -> ExitCode {
    cli::run(Cli::parse()).unwrap_or_else(|error| {
        eprintln!("monitor: {error:#}");
        ExitCode::FAILURE
    })
}
