//! The daemon's own logs: `tracing` events to standard error, and to who receives them by OTLP.

use std::{error::Error, io::IsTerminal, sync::Arc};

use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::LevelFilter, layer::Layered, prelude::*, reload,
};

use crate::{
    config::{LogConfig, LogFormat},
    export::otlp::{self, Records},
};

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

/// What decides which events are written.
type Filter = reload::Layer<EnvFilter, Registry>;

/// What has been filtered, and is to be written.
type Filtered = Layered<Filter, Registry>;

/// How they are written.
type Writer = Box<dyn Layer<Filtered> + Send + Sync>;

/// The logs of the process, which can be changed while it runs.
pub struct Logs {
    filter: reload::Handle<EnvFilter, Registry>,
    writer: reload::Handle<Writer, Filtered>,
}

impl Logs {
    /// Sets up logs for the whole process; they go to `records` as well.
    pub fn init(config: &LogConfig, records: Arc<Records>) -> Result<Self, TelemetryError> {
        let (filter, filter_handle) = reload::Layer::new(filter(&config.level)?);
        let (writer, writer_handle) = reload::Layer::new(writer(config.format));
        tracing_subscriber::registry().with(filter).with(writer).with(otlp::bridge(records)).init();
        Ok(Self { filter: filter_handle, writer: writer_handle })
    }

    /// From now on logs are as `config` says; when it says what cannot be, they stay as they are.
    pub fn set(&self, config: &LogConfig) -> Result<(), TelemetryError> {
        let filter = filter(&config.level)?;
        // Both fail only when there are no logs any more, and then nobody could be told.
        let _ = self.filter.reload(filter);
        let _ = self.writer.reload(writer(config.format));
        // What comes by the `log` crate, such as the words of BPF programs, is cut off before it gets
        // to the filter.
        log::set_max_level(match LevelFilter::current().into_level() {
            None => log::LevelFilter::Off,
            Some(tracing::Level::ERROR) => log::LevelFilter::Error,
            Some(tracing::Level::WARN) => log::LevelFilter::Warn,
            Some(tracing::Level::INFO) => log::LevelFilter::Info,
            Some(tracing::Level::DEBUG) => log::LevelFilter::Debug,
            Some(tracing::Level::TRACE) => log::LevelFilter::Trace,
        });
        Ok(())
    }
}

fn writer(format: LogFormat) -> Writer {
    let layer = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer.with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

/// The filter that a level or a list of directives means. A word alone must be a level: the library
/// would take any other for the name of a module, and turn all logs off but its.
fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    let parse = || -> Result<EnvFilter, Box<dyn Error>> {
        for word in level.split(',').filter(|directive| !directive.contains(['=', '['])) {
            word.trim().parse::<LevelFilter>()?;
        }
        Ok(EnvFilter::try_new(level)?)
    };
    parse().map_err(|error| TelemetryError { level: level.to_owned(), reason: error.to_string() })
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
