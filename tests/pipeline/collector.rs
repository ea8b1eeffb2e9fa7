//! The Collector at work on data that the tests make. These measure no kernel and need no root: `cargo xtask
//! test` runs them beside others.

mod arrival;
mod cloudwatch;
mod configs;
mod conservation;
mod outage;
