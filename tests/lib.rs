//! Helpers for tests of the whole program against the running kernel.
//!
//! A [`Recorder`] runs a probe as the daemon does and adds up what it reports; a [`Tracer`] has
//! bpftrace print the scheduler's raw events; a [`Workload`] is a process of ours with a name of its
//! own. [`observe`] puts them together, [`truth`] compares.

pub mod cgroup;
pub mod counts;
pub mod proc;
pub mod recorder;
pub mod reference;
pub mod scenario;
mod session;
pub mod sys;
pub mod truth;
pub mod workload;

pub use self::{
    counts::{Counts, Hist},
    recorder::{Recorder, Totals},
    reference::{Blind, Events, Intervals, Tracer},
    session::{Observed, Serial, kernel, observe, serial},
    workload::Workload,
};
