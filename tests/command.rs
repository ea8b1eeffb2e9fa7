//! Programs that tests have do something.

use std::process::{Child, Command, Stdio};

/// Starts a program whose output is wanted.
pub fn spawn(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {command:?}: {error}; is it installed?"))
}

/// Runs a program that must succeed; what it printed.
pub fn run(program: &str, args: &[&str]) -> String {
    let output = spawn(Command::new(program).args(args)).wait_with_output();
    let output = output.expect("it is a child");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {error}", args.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
