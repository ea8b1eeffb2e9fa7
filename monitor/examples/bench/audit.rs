//! Rounds of the self-audit.

use std::time::Instant;

use anyhow::Result;
use monitor::{audit::Audit, host::HostPaths};

use crate::clock::cpu_time;

/// Prints for each round how many seconds of CPU time it took.
pub(crate) fn run(count: u32) -> Result<()> {
    let mut audit = Audit::new(&HostPaths::default());
    for _ in 0..count {
        let before = cpu_time();
        audit.end_round_at(Instant::now());
        audit.before_flip(Instant::now());
        audit.after_flip();
        audit.compare(&[], |_, _| true);
        println!("{:.9}", (cpu_time() - before).as_secs_f64());
    }
    Ok(())
}
