//! `monitor`: an eBPF host profiler and exporter. See ARCHITECTURE.md for how the parts fit.

pub mod agent;
pub mod aggregate;
pub mod attribution;
pub mod audit;
pub mod catalogue;
pub mod cgroup;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod error;
pub mod event;
pub mod export;
pub mod host;
pub mod kernel;
pub mod metric;
pub mod probe;
pub mod rate_limit;
pub mod renames;
pub mod resource;
pub mod sample;
pub mod telemetry;
mod top_k;
pub mod view;
