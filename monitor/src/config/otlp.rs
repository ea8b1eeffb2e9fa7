//! Where measurements and logs are sent by OTLP: what the file says, then the standard `OTEL_*`
//! variables.

mod environment;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use hyper::{
    Uri,
    http::{HeaderName, HeaderValue},
};
use serde::{Deserialize, Serialize};

use self::environment::{Environment, Variables};
use super::{ConfigError, Origins, duration};
use crate::metric::Kind;

/// The shortest time between two exports.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The longest.
const MAX_INTERVAL: Duration = Duration::from_secs(3600);

/// Where measurements and logs are sent by OTLP: nowhere without an endpoint.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpConfig {
    /// The receiver, such as `http://localhost:4317`.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "show_address")]
    pub endpoint: Option<String>,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// What is sent with every request.
    pub headers: BTreeMap<String, Secret>,
    /// How requests are made smaller.
    pub compression: Compression,
    /// How long a request may take.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Time between exports of metrics.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Whether counters and histograms are sent as totals or as growth.
    pub temporality: Temporality,
    /// Whether metrics are sent.
    pub metrics: bool,
    /// Whether logs and events are sent.
    pub logs: bool,
    /// Whom to trust and who to be, where the endpoint begins with `https`.
    pub tls: OtlpTlsConfig,
}

/// Whom to trust and who to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OtlpTlsConfig {
    /// Certificates of who may vouch for the receiver, in PEM form; without, those the system trusts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Our own certificate and those above it, in PEM form, where the receiver asks for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// How a receiver is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
pub enum Protocol {
    /// gRPC.
    #[default]
    #[serde(rename = "grpc")]
    #[value(name = "grpc")]
    Grpc,
    /// Protobuf messages over HTTP/1.1.
    #[serde(rename = "http/protobuf")]
    #[value(name = "http/protobuf")]
    HttpProtobuf,
}

impl Protocol {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::HttpProtobuf => "http/protobuf",
        }
    }
}

/// How requests are made smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// By gzip.
    #[default]
    Gzip,
    /// Not at all.
    None,
}

/// Whether counters and histograms are sent as totals or as growth: the temporality preferences of OpenTelemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Temporality {
    /// Totals since a start time.
    #[default]
    Cumulative,
    /// Growth since the last export.
    Delta,
    /// Growth for histograms, totals for counters, which are read from the kernel's.
    #[value(name = "lowmemory")]
    LowMemory,
}

impl Temporality {
    /// Whether metrics of a kind are sent as growth.
    pub fn is_delta(self, kind: Kind) -> bool {
        match self {
            Self::Cumulative => false,
            Self::Delta => matches!(kind, Kind::Counter | Kind::Histogram),
            Self::LowMemory => kind == Kind::Histogram,
        }
    }
}

fn show_address<S: serde::Serializer>(address: &Option<String>, to: S) -> Result<S::Ok, S::Error> {
    address.as_deref().map(without_query).serialize(to)
}

/// A value that is not printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("***")
    }
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            endpoint: None,
            protocol: Protocol::default(),
            headers: BTreeMap::new(),
            compression: Compression::default(),
            timeout: Duration::from_secs(10),
            interval: Duration::from_secs(15),
            temporality: Temporality::default(),
            metrics: true,
            logs: true,
            tls: OtlpTlsConfig::default(),
        }
    }
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Metrics.
    Metrics,
    /// Logs and events.
    Logs,
}

impl Signal {
    /// All there are.
    pub const ALL: [Self; 2] = [Self::Metrics, Self::Logs];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
        }
    }
}

/// Where and how a signal is sent, all considered.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// The address; for HTTP, with the signal's path.
    pub endpoint: Uri,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// What is sent with every request. Values are marked as sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// How requests are made smaller.
    pub compression: Compression,
    /// How long a request may take.
    pub timeout: Duration,
    /// Time between exports.
    pub interval: Duration,
    /// Whether counters and histograms are totals or growth.
    pub temporality: Temporality,
    /// Whom to trust and who to be.
    pub tls: OtlpTlsConfig,
}

impl Target {
    /// The address for logs and `/health`.
    pub fn shown(&self) -> String {
        without_query(&self.endpoint.to_string())
    }
}

impl OtlpConfig {
    /// Where a signal is sent, after the standard variables; `None` for nowhere. An error is one of a
    /// variable, as the file and the flags were checked before.
    pub fn target(
        &self,
        signal: Signal,
        environment: Environment<'_>,
        origins: &Origins,
    ) -> Result<Option<Target>, ConfigError> {
        let (own, _) = self.effective(Some(signal), environment, origins)?;
        let (Some(endpoint), true) = (&own.endpoint, own.is_on(Some(signal))) else {
            return Ok(None);
        };
        let variables = Variables::new(environment, Some(signal), origins);
        // The address for a signal alone is taken as it is.
        let below = (!variables.has_own_endpoint()).then_some(signal);
        Ok(Some(Target {
            endpoint: address(endpoint, own.protocol, below)?,
            protocol: own.protocol,
            headers: headers(&own.headers)?,
            compression: own.compression,
            timeout: own.timeout,
            interval: own.interval,
            temporality: own.temporality,
            tls: own.tls,
        }))
    }

    /// The configuration of all signals, or of one, after the standard variables, and the origins of its
    /// values. Where nothing is sent, only the variables that switch it off are read.
    pub fn effective(
        &self,
        signal: Option<Signal>,
        environment: Environment<'_>,
        origins: &Origins,
    ) -> Result<(Self, Origins), ConfigError> {
        let mut variables = Variables::new(environment, signal, origins);
        let mut own = self.clone();
        variables.switch(&mut own);
        if !own.is_on(signal) || (own.endpoint.is_none() && !variables.name_an_endpoint()) {
            return Ok((own, variables.into_origins()));
        }
        variables.apply(&mut own)?;
        let origins = variables.into_origins();
        own.validate().map_err(|error| error.set_by(&origins))?;
        Ok((own, origins))
    }

    /// Whether a signal, or any of them, is to be sent.
    fn is_on(&self, signal: Option<Signal>) -> bool {
        match signal {
            Some(Signal::Metrics) => self.metrics,
            Some(Signal::Logs) => self.logs,
            None => self.metrics || self.logs,
        }
    }

    /// Checks what types cannot say.
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let range = |key, value: Duration, min, max| match value {
            value if (min..=max).contains(&value) => Ok(()),
            value => Err(ConfigError::Range {
                key,
                value: format!("{value:?}"),
                range: format!("at least {min:?}, at most {max:?}"),
            }),
        };
        range("otlp.interval", self.interval, MIN_INTERVAL, MAX_INTERVAL)?;
        range("otlp.timeout", self.timeout, Duration::from_millis(10), MAX_INTERVAL)?;
        self.check_tls()?;
        headers(&self.headers)?;
        match &self.endpoint {
            Some(endpoint) => address(endpoint, self.protocol, None).map(drop),
            None => Ok(()),
        }
    }

    fn check_tls(&self) -> Result<(), ConfigError> {
        match (&self.tls.certificate, &self.tls.key) {
            (Some(_), None) => {
                Err(ConfigError::Half { is: "otlp.tls.certificate", is_not: "otlp.tls.key" })
            }
            (None, Some(_)) => {
                Err(ConfigError::Half { is: "otlp.tls.key", is_not: "otlp.tls.certificate" })
            }
            _ => Ok(()),
        }
    }
}

fn headers(
    texts: &BTreeMap<String, Secret>,
) -> Result<Vec<(HeaderName, HeaderValue)>, ConfigError> {
    let invalid = |name: &str| ConfigError::Header { name: name.to_owned() };
    let pairs = texts.iter().map(|(name, Secret(value))| {
        let mut value = HeaderValue::from_str(value).map_err(|_| invalid(name))?;
        value.set_sensitive(true);
        Ok((HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(name))?, value))
    });
    pairs.collect()
}

/// The address of an endpoint as it was given; over HTTP, each signal has a path of its own below it.
fn address(endpoint: &str, protocol: Protocol, signal: Option<Signal>) -> Result<Uri, ConfigError> {
    let host = endpoint.split_once("://").map_or(endpoint, |(_, host)| host);
    if host.split(['/', '?', '#']).next().is_some_and(|authority| authority.contains('@')) {
        return Err(ConfigError::EndpointSecret);
    }
    // The query with its mark; empty without one.
    let (base, query) = endpoint.split_at(endpoint.find('?').unwrap_or(endpoint.len()));
    if protocol == Protocol::Grpc && !query.is_empty() {
        return Err(ConfigError::EndpointQuery { endpoint: without_query(endpoint) });
    }
    let parsed = match (protocol, signal) {
        (Protocol::HttpProtobuf, Some(signal)) => {
            format!("{}/v1/{}{query}", base.trim_end_matches('/'), signal.name()).parse::<Uri>()
        }
        _ => endpoint.parse(),
    };
    match parsed {
        Ok(uri) if matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() => {
            Ok(uri)
        }
        _ => Err(ConfigError::Endpoint { endpoint: without_query(endpoint) }),
    }
}

/// An address for people. A query may be a key, and is left out.
pub(crate) fn without_query(address: &str) -> String {
    match address.split_once('?') {
        Some((base, _)) => format!("{base}?***"),
        None => address.to_owned(),
    }
}
