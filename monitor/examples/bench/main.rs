//! What `cargo xtask bench` measures with the daemon's own library.
//!
//! - `bench empty OBJECT` attaches the empty programs until it is ended.
//! - `bench pass COUNT` runs the `sched` probe and tells how long each of its snapshots takes.
//! - `bench aggregate COUNT` runs ticks of the aggregation and prints the CPU time of each.
//! - `bench audit COUNT` runs rounds of the self-audit and prints the CPU time of each.
//! - `bench export EXPORTER COMPRESSION` sends series by OTLP and tells what that takes.
//! - `bench sink` is what they are sent to.

mod aggregate;
mod audit;
mod clock;
mod export;
mod kernel;
mod sink;

use std::env;

use anyhow::{Context, Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["empty", object] => kernel::empty(object),
        ["pass", count] => kernel::pass(count.parse().context("COUNT is a number")?),
        ["aggregate", count] => aggregate::run(count.parse().context("COUNT is a number")?),
        ["audit", count] => audit::run(count.parse().context("COUNT is a number")?),
        ["export", exporter, compression] => export::run(exporter, compression),
        ["sink"] => sink::run(),
        _ => bail!(
            "usage: bench empty OBJECT | pass COUNT | aggregate COUNT | audit COUNT | export monitor|sdk gzip|none | sink"
        ),
    }
}
