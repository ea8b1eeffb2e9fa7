//! The project's tasks, `cargo xtask TASK`: the same entry point for people and for CI.

mod arch;
mod bench;
mod build;
mod ci;
mod command;
mod docs;
mod host;
mod pipeline;
mod privilege;
mod run;
mod setup;
mod side_by_side;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's tasks")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install what the build needs
    Setup(setup::Args),
    /// Build the BPF objects and the daemon
    Build(build::Args),
    /// Start the daemon as root and show who waits for a CPU
    Run(run::Args),
    /// Run the tests, those that measure the running kernel as root and alone
    Test(test::Args),
    /// Run everything that has to pass before a change lands
    Ci(ci::Args),
    /// Measure what the daemon costs, and write docs/benchmarks.md
    Bench(bench::Args),
    /// Write what is generated from the program into docs/
    Docs(docs::Args),
    /// Run the daemon on other kernels, in virtual machines, and compare with what those say
    Vm(vm::Args),
    /// Run the daemon on a realistic host with systemd and Docker, in virtual machines
    Host(host::Args),
    /// Start or stop a Collector with Prometheus, VictoriaLogs and a stand-in for AWS behind it
    Pipeline(pipeline::Args),
    /// Check the sources against the rules of CONTRIBUTING.md
    Tidy,
}

fn main() -> ExitCode {
    if let Err(error) = run(Cli::parse().task) {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Setup(args) => setup::run(&args),
        Task::Build(args) => build::run(&args),
        Task::Run(args) => run::run(&args),
        Task::Test(args) => test::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::Docs(args) => docs::run(&args),
        Task::Vm(args) => vm::run(&args),
        Task::Host(args) => host::run(&args),
        Task::Pipeline(args) => pipeline::run(&args),
        Task::Tidy => tidy::run(),
    }
}
