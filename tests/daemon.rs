//! The whole daemon, as it is installed, and what it serves.

pub mod container;
pub mod program;
pub mod scrape;
pub mod stops;
mod wire;
