//! Commands that run at the same time.

use std::{
    io::{self, Read},
    process::{Command, ExitStatus},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// Runs commands side by side, and prints the output of each in one piece once it has ended. Returns how
/// long each took. Fails if one of them fails, after the end of all.
pub(crate) fn side_by_side(
    commands: Vec<(&'static str, Command)>,
) -> Result<Vec<(&'static str, Duration)>> {
    let (sender, ended) = mpsc::channel();
    let names: Vec<_> = commands.iter().map(|(name, _)| *name).collect();
    println!("\n==> side by side: {}", names.join(", "));
    for (name, command) in commands {
        let sender = sender.clone();
        thread::spawn(move || {
            let start = Instant::now();
            let result = captured(command).with_context(|| format!("cannot run {name}"));
            // Somebody listens until all have ended.
            let _ = sender.send((name, start.elapsed(), result));
        });
    }
    drop(sender);
    let (mut times, mut failed) = (Vec::new(), Vec::new());
    for (name, time, result) in ended {
        let (status, output) = result?;
        println!("\n==> {name}, {:.1} s: {status}\n{}", time.as_secs_f64(), output.trim_end());
        times.push((name, time));
        if !status.success() {
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(times)
}

/// Runs a command; returns all that it printed, to either stream.
fn captured(mut command: Command) -> io::Result<(ExitStatus, String)> {
    let (mut reader, writer) = io::pipe()?;
    let mut process = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
    // It has the writing ends as well.
    drop(command);
    let mut output = Vec::new();
    reader.read_to_end(&mut output)?;
    Ok((process.wait()?, String::from_utf8_lossy(&output).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn commands_run_at_the_same_time() {
        // One after the other, the first would wait for ever.
        let (reads, writes) = io::pipe().expect("there are descriptors");
        let mut waits = shell("read line && test $line = go");
        waits.stdin(reads);
        let mut goes = shell("echo go >&0");
        goes.stdin(writes);
        let times = side_by_side(vec![("waits", waits), ("goes", goes)]).expect("both succeed");
        assert_eq!(times.len(), 2);
    }

    #[test]
    fn failed_commands_are_named() {
        let commands = vec![("fails", shell("exit 3")), ("works", shell("true"))];
        let error = side_by_side(commands).expect_err("one of them fails");
        assert_eq!(error.to_string(), "failed: fails");
    }
}
