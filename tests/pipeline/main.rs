//! The Collector as it is deployed, with real stores behind it.

mod arrival;
mod aws;
mod configs;
mod loki;
mod otlp;
mod outage;
mod prometheus;
mod setup;
