//! The Collector as it is deployed, with real stores behind it.

mod configs;
