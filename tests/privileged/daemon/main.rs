//! The whole daemon, as it is installed: `monitor run` and the commands beside it.

mod again;
mod audit;
mod bad_input;
mod bpf_log;
mod btf;
mod cgroups;
mod clock;
mod events;
mod faults;
mod forks;
mod groups;
mod long;
mod otlp;
mod pairs;
mod principles;
mod reload;
mod security;
mod short;
mod slow;
mod stop;
mod sums;
mod surfaces;
mod verdicts;

use monitor_tests::daemon::{program, scrape};
