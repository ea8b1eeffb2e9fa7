//! The daemon's own logs: `tracing` events to standard error.

use tracing_subscriber::{EnvFilter, filter::ParseError};

use crate::config::{LogConfig, LogFormat};

/// Why logs cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level = {level:?} is no level or list of directives: {source}; use info, or info,monitor::probe=debug"
)]
pub struct TelemetryError {
    level: String,
    source: ParseError,
}

/// Sets up logs for the whole process.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|source| TelemetryError { level: config.level.clone(), source })?;
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}
