//! Helpers for tests of the whole program against the running kernel.
//!
//! A [`Recorder`] runs a probe as the daemon does and adds up what it reports; a [`Tracer`] has
//! bpftrace print the scheduler's raw events; a [`Workload`] is a process of ours with a name of its
//! own. [`observe`] puts them together, [`truth`] compares.

pub mod block;
pub mod bpftrace;
pub mod cgroup;
pub mod collector;
pub mod command;
pub mod counts;
pub mod daemon;
pub mod disk;
pub mod kernel_log;
pub mod maps;
pub mod network;
pub mod objects;
pub mod proc;
pub mod recorder;
pub mod reference;
pub mod running;
pub mod scenario;
mod session;
pub mod sys;
pub mod tcp;
pub mod truth;
pub mod workload;

use std::panic;

pub use self::{
    collector::{Collected, Collector, Level},
    counts::{Counts, Hist},
    recorder::{Recorder, Totals},
    reference::{Blind, Events, Intervals, Tracer},
    session::{Observed, Serial, is_attached, kernel, observe, serial, shown},
    workload::Workload,
};

/// Runs a measurement that is compared with another observer's, and once or twice more when they
/// differ. An interrupt, or the machine being taken away from this virtual machine, may come between
/// the two readings of one event, and then the few longest waits differ; and where some threads run, a
/// kernel may show an event to nobody. A program that measures the wrong thing does so every time.
pub fn repeatable(measurement: impl Fn()) {
    for _ in 1..MEASUREMENTS {
        if panic::catch_unwind(panic::AssertUnwindSafe(&measurement)).is_ok() {
            return;
        }
        println!("the observers differ; once more");
    }
    measurement();
}

/// How often a measurement is made at most.
const MEASUREMENTS: u32 = 3;
