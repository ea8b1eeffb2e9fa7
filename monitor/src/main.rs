//! The `monitor` command.

use std::process::ExitCode;

use clap::Parser;
use monitor::{
    cli::{self, Cli},
    error,
};

fn main() -> ExitCode {
    cli::run(Cli::parse()).unwrap_or_else(|failure| {
        eprintln!("monitor: {}", error::chain(failure.as_ref()));
        ExitCode::FAILURE
    })
}
