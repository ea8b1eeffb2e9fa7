//! The daemon's own logs: `tracing` events to standard error.

use std::{error::Error, io::IsTerminal};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::config::{LogConfig, LogFormat};

/// Why logs cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level = {level:?} is no level or list of directives: {reason}; use info, or \
     info,monitor::probe=debug"
)]
pub struct TelemetryError {
    level: String,
    reason: String,
}

/// Sets up logs for the whole process.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let filter = filter(&config.level).map_err(|error| TelemetryError {
        level: config.level.clone(),
        reason: error.to_string(),
    })?;
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().flatten_event(true).init(),
    }
    Ok(())
}

/// The filter that a level or a list of directives means. A word alone must be a level: the library
/// would take any other for the name of a module, and turn all logs off but its.
fn filter(level: &str) -> Result<EnvFilter, Box<dyn Error>> {
    for word in level.split(',').filter(|directive| !directive.contains(['=', '['])) {
        word.trim().parse::<LevelFilter>()?;
    }
    Ok(EnvFilter::try_new(level)?)
}

#[cfg(test)]
mod tests {
    use super::filter;

    #[test]
    fn a_word_alone_is_a_level() {
        for level in ["off", "info", "WARN", "info,monitor::probe=debug", "monitor=debug, warn"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        for level in ["loud", "info,loud", "info,monitor=loud", "a=b=c"] {
            assert!(filter(level).is_err(), "{level}");
        }
    }
}
