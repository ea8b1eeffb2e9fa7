//! `monitor`: an eBPF host profiler and exporter. See ARCHITECTURE.md for how the parts fit.

pub mod attribution;
pub mod export;
pub mod host;
pub mod kernel;
pub mod metric;
pub mod probe;
pub mod sample;
pub mod view;
