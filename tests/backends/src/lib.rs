//! The Collector and the stores behind it as local processes: `cargo xtask pipeline` lets people try them, the
//! tests of the pipeline prove what arrives there.
//!
//! `cargo xtask setup --tests` makes the programs; a [`Pipeline`] runs all of them, a [`Service`] is one.

mod collector;
pub mod http;
mod pipeline;
mod programs;
mod service;
mod stores;

pub use self::{
    collector::{Collector, Ports, TOKEN},
    pipeline::{Addresses, Pipeline},
    programs::Programs,
    service::{Service, free_port, terminate},
    stores::Starts,
};
