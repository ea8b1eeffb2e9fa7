//! What goes on for a minute or more, for `cargo xtask test --long` alone.

mod audit;
mod storm;
