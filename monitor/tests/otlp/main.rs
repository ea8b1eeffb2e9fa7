//! What a receiver gets by OTLP, and what becomes of it when the receiver does not do as it should.
//! Each test has a real one for itself, on the loopback.

mod deltas;
mod failures;
mod hostile;
mod logs;
mod metrics;
mod receiver;
mod responses;
mod setup;
mod tls;
