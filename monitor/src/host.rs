//! Gauges of the host.

mod paths;
#[cfg(test)]
pub(crate) mod scratch;

pub use self::paths::HostPaths;
