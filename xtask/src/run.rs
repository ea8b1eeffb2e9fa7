//! Starts the daemon and shows what it measures, until ctrl-c.

mod daemon;
pub(crate) mod signals;

use std::{
    env,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use self::daemon::Daemon;
use crate::{
    build, privilege,
    workspace::{self, Profile},
};

/// How long the daemon may take to have its first numbers.
const START_TIMEOUT: Duration = Duration::from_secs(30);
/// How often everything is looked at.
const POLL: Duration = Duration::from_millis(100);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Do not build, run what is there
    #[arg(long)]
    no_build: bool,
    /// Arguments for `monitor run`; it has to listen at its default address
    #[arg(last = true)]
    daemon: Vec<String>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    const PURPOSE: &str = "loading BPF programs";
    privilege::require(PURPOSE)?;
    // Before the build, which takes minutes.
    daemon::address_is_free()?;
    let program = if args.no_build {
        workspace::daemon(Profile::Release)?
    } else {
        build::daemon(Profile::Release)?
    };
    if privilege::is_root() {
        return supervise(&program, &args.daemon);
    }
    // Only root may stop what root started, so all of this becomes root. Signals then go to sudo, which
    // passes them on.
    let this = env::current_exe().context("cannot tell where this program is")?;
    let mut again = privilege::as_root(this, PURPOSE)?;
    let error = again.args(["run", "--no-build", "--"]).args(&args.daemon).exec();
    Err(error).context("cannot start sudo")
}

/// Runs the daemon and the table beside it, and ends both in turn whatever happens.
fn supervise(program: &Path, arguments: &[String]) -> Result<()> {
    signals::catch();
    let log = workspace::root().join("target/monitor.log");
    let mut daemon = Daemon::start(program, arguments, log)?;
    let shown = wait_until_ready(&mut daemon).and_then(|()| show(program, &mut daemon));
    shown.and(daemon.stop())
}

fn wait_until_ready(daemon: &mut Daemon) -> Result<()> {
    println!("starting the daemon, its log is {}", daemon.log().display());
    let start = Instant::now();
    while !signals::asked_to_stop() && !daemon.is_ready() {
        daemon.check()?;
        if start.elapsed() > START_TIMEOUT {
            bail!("the daemon is not ready after {START_TIMEOUT:?}{}", daemon.last_words());
        }
        thread::sleep(POLL);
    }
    Ok(())
}

/// Shows the table until somebody has seen enough.
fn show(program: &Path, daemon: &mut Daemon) -> Result<()> {
    if signals::asked_to_stop() {
        return Ok(());
    }
    println!("metrics: http://{}/metrics; ctrl-c stops", daemon::ADDRESS);
    let mut table = Command::new(program).arg("top").spawn().context("cannot start the table")?;
    let watched = watch(&mut table, daemon);
    signals::terminate(&mut table)?;
    watched
}

fn watch(table: &mut Child, daemon: &mut Daemon) -> Result<()> {
    while !signals::asked_to_stop() {
        daemon.check()?;
        if let Some(status) = table.try_wait()? {
            if !status.success() {
                bail!("`monitor top` failed: {status}");
            }
            break;
        }
        thread::sleep(POLL);
    }
    Ok(())
}
