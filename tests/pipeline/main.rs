//! The Collector as it is deployed, with real stores behind it.

mod aws;
mod collector;
mod daemon;
mod events;
mod load;
mod logs;
mod long;
mod otlp;
mod prometheus;
mod served;
mod setup;
mod totals;
