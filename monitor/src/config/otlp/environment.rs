//! The standard `OTEL_*` variables.

use std::{path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;

use super::{OtlpConfig, Secret};
use crate::config::ConfigError;

/// What begins the names of the variables for all signals.
pub(super) const PREFIX: &str = "OTEL_EXPORTER_OTLP_";

/// Looks a variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

impl OtlpConfig {
    /// The same after the standard variables that are for all signals.
    pub fn with_environment(mut self, environment: Environment<'_>) -> Result<Self, ConfigError> {
        self.apply(environment, PREFIX)?;
        let milliseconds = "OTEL_METRIC_EXPORT_INTERVAL";
        read(environment, milliseconds, &mut self.interval, parse_milliseconds)?;
        for (name, on) in
            [("OTEL_METRICS_EXPORTER", &mut self.metrics), ("OTEL_LOGS_EXPORTER", &mut self.logs)]
        {
            // Others that may be named there, such as `prometheus`, are nobody else's concern.
            *on = *on && environment(name).is_none_or(|value| value != "none");
        }
        if environment("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        {
            (self.metrics, self.logs) = (false, false);
        }
        Ok(self)
    }

    /// Takes the variables whose names begin so.
    pub(super) fn apply(
        &mut self,
        environment: Environment<'_>,
        prefix: &str,
    ) -> Result<(), ConfigError> {
        let variable = |name: &str| format!("{prefix}{name}");
        let path = |value: &str| Ok(Some(PathBuf::from(value)));
        read(environment, &variable("PROTOCOL"), &mut self.protocol, |value| {
            choice(value, "grpc or http/protobuf")
        })?;
        let is_plain = get(environment, &variable("INSECURE"))
            .or_else(|| get(environment, &format!("{PREFIX}INSECURE")))
            .is_some_and(|value| value.eq_ignore_ascii_case("true"));
        read(environment, &variable("ENDPOINT"), &mut self.endpoint, |value| {
            // gRPC's own form has no scheme.
            let scheme = if is_plain { "http" } else { "https" };
            Ok(Some(match value.contains("://") {
                true => value.to_owned(),
                false => format!("{scheme}://{value}"),
            }))
        })?;
        read(environment, &variable("COMPRESSION"), &mut self.compression, |value| {
            choice(value, "gzip or none")
        })?;
        read(environment, &variable("TIMEOUT"), &mut self.timeout, parse_milliseconds)?;
        read(environment, &variable("CERTIFICATE"), &mut self.tls.ca, path)?;
        read(environment, &variable("CLIENT_CERTIFICATE"), &mut self.tls.certificate, path)?;
        read(environment, &variable("CLIENT_KEY"), &mut self.tls.key, path)?;
        let name = variable("HEADERS");
        let Some(value) = get(environment, &name) else { return Ok(()) };
        let added = parse_headers(&value).ok_or_else(|| ConfigError::Variable {
            // They are secret, and not repeated.
            name,
            reason: "it must be like name=value,name=value, with % for special signs".to_owned(),
        })?;
        self.headers.extend(added);
        Ok(())
    }
}

/// A variable that is set to something.
pub(super) fn get(environment: Environment<'_>, name: &str) -> Option<String> {
    environment(name).filter(|value| !value.is_empty())
}

/// Sets what a variable says, if it says something.
fn read<T>(
    environment: Environment<'_>,
    name: &str,
    to: &mut T,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<(), ConfigError> {
    if let Some(value) = get(environment, name) {
        *to = parse(&value).map_err(|expected| ConfigError::Variable {
            name: name.to_owned(),
            reason: format!("`{value}` is not what it can be: {expected}"),
        })?;
    }
    Ok(())
}

fn choice<T: clap::ValueEnum>(value: &str, expected: &str) -> Result<T, String> {
    T::from_str(value, true).map_err(|_| expected.to_owned())
}

fn parse_milliseconds(value: &str) -> Result<Duration, String> {
    let milliseconds = value.parse().map(Duration::from_millis);
    milliseconds.map_err(|_| "a whole number of milliseconds".to_owned())
}

/// A list as in W3C's baggage, where values may be percent-encoded.
fn parse_headers(text: &str) -> Option<Vec<(String, Secret)>> {
    let pairs = text.split(',').map(str::trim).filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
            Some((name.trim().to_ascii_lowercase(), Secret(value.into_owned())))
        })
        .collect()
}
