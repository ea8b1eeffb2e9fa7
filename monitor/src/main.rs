//! The `monitor` command.

use std::process::ExitCode;

use monitor::{
    cli::{self, Cli},
    error,
};

fn main() -> ExitCode {
    cli::run(Cli::read()).unwrap_or_else(|failure| {
        eprintln!("monitor: {}", error::chain(failure.as_ref()));
        ExitCode::FAILURE
    })
}
