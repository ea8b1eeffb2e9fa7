//! The Collector as it is deployed, with real stores behind it.

mod arrival;
mod aws;
mod cloudwatch;
mod configs;
mod daemon;
mod events;
mod load;
mod logs;
mod memory;
mod otlp;
mod outage;
mod outages;
mod prometheus;
mod served;
mod setup;
