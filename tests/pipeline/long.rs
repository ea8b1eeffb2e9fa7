//! Outages of minutes, for `cargo xtask test --long` alone.

mod memory;
mod outages;
