//! The standard `OTEL_*` variables. Only those are read that something depends on.

use std::{path::PathBuf, time::Duration};

use percent_encoding::percent_decode_str;

use super::{
    super::{Origin, Origins},
    OtlpConfig, Secret, Signal,
};
use crate::config::ConfigError;

/// Prefix of the variables for all signals.
const PREFIX: &str = "OTEL_EXPORTER_OTLP_";

/// Looks a variable up.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variables for all signals, or for one; its own override those for all.
pub(super) struct Variables<'a> {
    environment: Environment<'a>,
    signal: Option<Signal>,
    /// Where the values come from, before and after the variables.
    origins: Origins,
}

impl<'a> Variables<'a> {
    pub(super) fn new(
        environment: Environment<'a>,
        signal: Option<Signal>,
        origins: &Origins,
    ) -> Self {
        Self { environment, signal, origins: origins.clone() }
    }

    /// Where the values come from by now.
    pub(super) fn into_origins(self) -> Origins {
        self.origins
    }

    /// Switches off what the variables switch off.
    pub(super) fn switch(&mut self, to: &mut OtlpConfig) {
        let switches = [
            (&mut to.metrics, "otlp.metrics", "OTEL_METRICS_EXPORTER"),
            (&mut to.logs, "otlp.logs", "OTEL_LOGS_EXPORTER"),
        ];
        for (is_on, key, exporter) in switches {
            // Other exporters that may be named there, such as `prometheus`, are not for us.
            for (name, off) in [(exporter, "none"), ("OTEL_SDK_DISABLED", "true")] {
                if self.get(name).is_some_and(|value| value.eq_ignore_ascii_case(off)) {
                    *is_on = false;
                    self.origins.set(key, Origin::Variable(name.to_owned()));
                }
            }
        }
    }

    /// Whether the endpoint is the signal's own.
    pub(super) fn has_own_endpoint(&self) -> bool {
        self.own("ENDPOINT").is_some()
    }

    /// Whether one of the variables names an endpoint.
    pub(super) fn name_an_endpoint(&self) -> bool {
        self.has_own_endpoint() || self.get(&format!("{PREFIX}ENDPOINT")).is_some()
    }

    /// Changes what the variables say.
    pub(super) fn apply(&mut self, to: &mut OtlpConfig) -> Result<(), ConfigError> {
        let path = |value: &str| Ok(Some(PathBuf::from(value)));
        self.read("protocol", "PROTOCOL", &mut to.protocol, |value| {
            choice(value, "grpc or http/protobuf")
        })?;
        let insecure = self.find("otlp.insecure", "INSECURE");
        let is_plain = insecure.is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        self.read("endpoint", "ENDPOINT", &mut to.endpoint, |value| {
            // gRPC's own form has no scheme.
            let scheme = if is_plain { "http" } else { "https" };
            Ok(Some(match value.contains("://") {
                true => value.to_owned(),
                false => format!("{scheme}://{value}"),
            }))
        })?;
        self.read("compression", "COMPRESSION", &mut to.compression, |value| {
            choice(value, "gzip or none")
        })?;
        self.read("timeout", "TIMEOUT", &mut to.timeout, parse_milliseconds)?;
        self.read("tls.ca", "CERTIFICATE", &mut to.tls.ca, path)?;
        self.read("tls.certificate", "CLIENT_CERTIFICATE", &mut to.tls.certificate, path)?;
        self.read("tls.key", "CLIENT_KEY", &mut to.tls.key, path)?;
        if self.signal != Some(Signal::Logs)
            && let Some(value) = self.get("OTEL_METRIC_EXPORT_INTERVAL")
        {
            let name = "OTEL_METRIC_EXPORT_INTERVAL".to_owned();
            self.set("interval", name, &value, &mut to.interval, parse_milliseconds)?;
        }
        let name = format!("{PREFIX}METRICS_TEMPORALITY_PREFERENCE");
        if self.signal != Some(Signal::Logs)
            && let Some(value) = self.get(&name)
        {
            self.set("temporality", name, &value, &mut to.temporality, |value| {
                choice(value, "cumulative, delta or lowmemory")
            })?;
        }
        self.read_headers(to)
    }

    /// Those of a signal are added to those of all.
    fn read_headers(&mut self, to: &mut OtlpConfig) -> Result<(), ConfigError> {
        let of_all = format!("{PREFIX}HEADERS");
        for name in [Some(of_all), self.own("HEADERS").map(|(name, _)| name)].into_iter().flatten()
        {
            let Some(value) = self.get(&name) else { continue };
            let added = parse_headers(&value).ok_or_else(|| ConfigError::Variable {
                // They are secret, and not repeated.
                name: name.clone(),
                reason: "it must be like name=value,name=value, with % for special signs"
                    .to_owned(),
            })?;
            for (header, value) in added {
                let key = format!("otlp.headers.{header}");
                self.origins.set(key, Origin::Variable(name.clone()));
                to.headers.insert(header, value);
            }
        }
        Ok(())
    }

    /// Changes a value if a variable says so.
    fn read<T>(
        &mut self,
        key: &str,
        variable: &str,
        to: &mut T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<(), ConfigError> {
        match self.find(&format!("otlp.{key}"), variable) {
            Some((name, value)) => self.set(key, name, &value, to, parse),
            None => Ok(()),
        }
    }

    fn set<T>(
        &mut self,
        key: &str,
        name: String,
        value: &str,
        to: &mut T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<(), ConfigError> {
        *to = parse(value).map_err(|expected| ConfigError::Variable {
            name: name.clone(),
            reason: format!("`{value}` is not what it can be: {expected}"),
        })?;
        self.origins.set(format!("otlp.{key}"), Origin::Variable(name));
        Ok(())
    }

    /// Name and value of the variable that counts: the signal's own, or the one for all where neither
    /// a flag nor a variable of ours says something else.
    fn find(&self, key: &str, variable: &str) -> Option<(String, String)> {
        let is_ours = matches!(self.origins.get(key), Some(Origin::Variable(_) | Origin::Flag(_)));
        self.own(variable).or_else(|| {
            let name = format!("{PREFIX}{variable}");
            let value = self.get(&name).filter(|_| !is_ours)?;
            Some((name, value))
        })
    }

    /// Name and value of a signal's own variable.
    fn own(&self, variable: &str) -> Option<(String, String)> {
        let name = format!("{PREFIX}{}_{variable}", self.signal?.name().to_uppercase());
        let value = self.get(&name)?;
        Some((name, value))
    }

    /// A variable that is set to something.
    fn get(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }
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
