//! The whole daemon, as it is installed: `monitor run` and the commands beside it.

mod bad_input;
mod bpf_log;
mod btf;
mod cgroups;
mod events;
mod forks;
mod groups;
mod otlp;
mod pairs;
mod program;
mod reload;
mod scrape;
mod security;
mod stop;
mod storm;
mod sums;
mod surfaces;
mod verdicts;
mod wire;
