//! Configuration: flags override `MONITOR_*` variables, which override a TOML file.

mod by_probe;
mod error;
mod file;
mod origin;
mod otlp;

use std::{
    collections::BTreeMap,
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::error::ConfigError;
pub use self::origin::{Origin, Origins};
pub(crate) use self::otlp::without_query;
pub use self::otlp::{
    Compression, OtlpConfig, OtlpTlsConfig, Protocol, Secret, Signal, Target, Temporality,
};

use crate::{
    attribution::GroupBy,
    event::{self, ArgvPolicy},
    host::HostPaths,
    kernel::loader::BpfLevel,
};

/// The shortest time between ticks. A tick waits for the kernel for some milliseconds.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// The longest: counters of a tick have 32 bits.
const MAX_INTERVAL: Duration = Duration::from_secs(300);

/// Everything that can be configured.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Address and port to serve HTTP on.
    pub listen: SocketAddr,
    /// Time between ticks.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// Encryption of HTTP.
    pub tls: TlsConfig,
    /// Who may read.
    pub auth: AuthConfig,
    /// Where the host's files are.
    pub host: HostConfig,
    /// How processes are grouped.
    pub groups: GroupsConfig,
    /// Events.
    pub events: EventsConfig,
    /// Logs.
    pub log: LogConfig,
    /// Where measurements and logs are sent.
    pub otlp: OtlpConfig,
    /// Which probes run, by name; of those not named the ones that do by default.
    #[serde(deserialize_with = "by_probe::read_switches")]
    pub probes: BTreeMap<String, bool>,
    /// Where these values come from.
    #[serde(skip)]
    pub origins: Origins,
}

/// Encryption of HTTP: with both of these files.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and those above it, in PEM form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<PathBuf>,
    /// The certificate's private key, in PEM form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
}

/// Who may read: everybody, unless one of these files is named.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Bearer tokens, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<PathBuf>,
    /// Users and passwords, as `user:password`, one a line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<PathBuf>,
}

/// Where the host's files are.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostConfig {
    /// The host's `/proc`.
    pub proc: PathBuf,
    /// The host's `/sys`.
    pub sys: PathBuf,
    /// The host's root directory.
    pub root: PathBuf,
}

/// How processes are grouped.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct GroupsConfig {
    /// What tells groups apart.
    pub by: GroupBy,
    /// How many groups have series of their own.
    pub top: usize,
}

/// Events.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// What is told of programs' arguments.
    pub argv: ArgvPolicy,
    /// Which are sent by OTLP, whatever is logged.
    pub export: Vec<event::Kind>,
    /// From when on a latency is an event, by the probe that measures it; `0s` for never.
    #[serde(deserialize_with = "by_probe::read_thresholds")]
    pub slow: BTreeMap<String, Threshold>,
    /// How many of each probe's slow latencies are told in a tick, the slowest ones.
    pub slowest: usize,
}

/// From when on something is slow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Threshold(#[serde(with = "duration")] pub Duration);

/// Logs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// What is logged: a level, or directives such as `info,monitor::probe=debug`.
    pub level: String,
    /// How it is written.
    pub format: LogFormat,
    /// What BPF programs may log.
    pub bpf: BpfLevel,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 9464)),
            interval: Duration::from_secs(1),
            tls: TlsConfig::default(),
            auth: AuthConfig::default(),
            host: HostConfig::default(),
            groups: GroupsConfig::default(),
            events: EventsConfig::default(),
            log: LogConfig::default(),
            otlp: OtlpConfig::default(),
            probes: by_probe::switches(),
            origins: Origins::default(),
        }
    }
}

impl Default for HostConfig {
    fn default() -> Self {
        let HostPaths { proc, sys, root } = HostPaths::default();
        Self { proc, sys, root }
    }
}

impl HostConfig {
    /// Where the host's files are.
    pub fn paths(&self) -> HostPaths {
        HostPaths { proc: self.proc.clone(), sys: self.sys.clone(), root: self.root.clone() }
    }
}

impl Default for GroupsConfig {
    fn default() -> Self {
        Self { by: GroupBy::default(), top: 100 }
    }
}

impl Default for EventsConfig {
    fn default() -> Self {
        use event::Kind::{Exec, Exit, OomKill, Slow};
        let export = vec![Exec, Exit, OomKill, Slow];
        let slow = by_probe::thresholds();
        Self { argv: ArgvPolicy::default(), export, slow, slowest: 20 }
    }
}

impl EventsConfig {
    /// From when on a latency is an event, by probe.
    pub fn thresholds(&self) -> BTreeMap<String, Duration> {
        self.slow.iter().map(|(probe, threshold)| (probe.clone(), threshold.0)).collect()
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text, bpf: BpfLevel::Off }
    }
}

impl Config {
    /// Reads the file that was named, or the usual one if it is there.
    pub fn read(named: Option<&Path>) -> Result<Self, ConfigError> {
        file::read(named)
    }

    /// Checks what types cannot say. An error names where the value comes from.
    pub fn validate(self) -> Result<Self, ConfigError> {
        match self.check() {
            Ok(()) => Ok(self),
            Err(error) => Err(error.set_by(&self.origins)),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        if !(MIN_INTERVAL..=MAX_INTERVAL).contains(&self.interval) {
            return Err(ConfigError::Range {
                key: "interval",
                value: format!("{:?}", self.interval),
                range: format!("at least {MIN_INTERVAL:?}, at most {MAX_INTERVAL:?}"),
            });
        }
        if let Err(error) = self.otlp.validate()
            && !(error.is_of_several_values() && self.is_completed_by_variables())
        {
            return Err(error);
        }
        let half = |is, is_not| Err(ConfigError::Half { is, is_not });
        match (&self.tls.certificate, &self.tls.key) {
            (Some(_), None) => half("tls.certificate", "tls.key"),
            (None, Some(_)) => half("tls.key", "tls.certificate"),
            _ => Ok(()),
        }
    }

    /// Whether what is sent is as it should be with the standard variables.
    fn is_completed_by_variables(&self) -> bool {
        Signal::ALL.into_iter().all(|signal| {
            let effective = self.otlp.effective(Some(signal), &variable, &self.origins);
            effective.is_ok_and(|(own, _)| own.validate().is_ok())
        })
    }

    /// Where a signal is sent, with the standard variables; `None` for nowhere. Fails where one of
    /// them cannot be used.
    pub fn target(&self, signal: Signal) -> Result<Option<Target>, ConfigError> {
        self.otlp.target(signal, &variable, &self.origins)
    }

    /// The certificates, keys and secrets that are read from files: the configuration keys and the files.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let (tls, auth) = (&self.tls, &self.auth);
        let mut files = vec![
            ("tls.certificate", tls.certificate.clone()),
            ("tls.key", tls.key.clone()),
            ("auth.tokens", auth.tokens.clone()),
            ("auth.users", auth.users.clone()),
        ];
        for signal in Signal::ALL {
            if let Ok(Some(Target { tls, endpoint, .. })) = self.target(signal)
                && endpoint.scheme_str() == Some("https")
            {
                files.push(("otlp.tls.ca", tls.ca));
                files.push(("otlp.tls.certificate", tls.certificate));
                files.push(("otlp.tls.key", tls.key));
            }
        }
        files.into_iter().filter_map(|(key, path)| Some((key, path?))).collect()
    }

    /// The standard variables that a signal depends on.
    pub fn standard_variables(&self, signal: Signal) -> Vec<String> {
        let effective = self.otlp.effective(Some(signal), &variable, &self.origins);
        let own = effective.map(|(_, origins)| origins).unwrap_or_default();
        own.beside(&self.origins).map(|(_, origin)| origin.to_string()).collect()
    }

    /// The configuration as TOML, with the standard variables for all signals, and with the origin of
    /// each value in a comment.
    pub fn annotated(&self) -> Result<String, toml::ser::Error> {
        let mut config = self.clone();
        if let Ok((otlp, origins)) = self.otlp.effective(None, &variable, &self.origins) {
            (config.otlp, config.origins) = (otlp, origins);
        }
        let mut text = config.origins.annotate(&toml::to_string(&config)?);
        for signal in Signal::ALL {
            let name = signal.name();
            match self.otlp.effective(Some(signal), &variable, &self.origins) {
                Err(error) => text.push_str(&format!("# {name} are not exported: {error}\n")),
                Ok((_, own)) => {
                    for (key, origin) in own.beside(&config.origins) {
                        text.push_str(&format!("# {key} of {name}: {origin}\n"));
                    }
                }
            }
        }
        Ok(text)
    }

    /// Whether a probe runs.
    pub fn runs(&self, probe: &str) -> bool {
        self.probes.get(probe).copied().unwrap_or_default()
    }
}

/// A variable of the process.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// Durations as people write them: `1s`, `500ms`.
mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&humantime::format_duration(*value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        humantime::parse_duration(&text).map_err(|error| {
            D::Error::custom(format!("`{text}` is no duration, such as 1s: {error}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let path = Path::new("monitor.toml");
        file::parse(text, path).and_then(Config::validate).unwrap_err().to_string()
    }

    #[test]
    fn unknown_keys_name_the_line_and_the_nearest() {
        assert_eq!(
            error("interval = \"1s\"\nlisen = \"127.0.0.1:1\"\n"),
            "monitor.toml:2: unknown key `lisen`; did you mean `listen`?"
        );
        assert_eq!(
            error("[host]\n\nprocs = \"/proc\"\n"),
            "monitor.toml:3: unknown key `procs`; did you mean `proc`?"
        );
        assert_eq!(
            error("[probes]\nsched = true\nshed = false\n"),
            "monitor.toml:3: unknown probe `shed`; did you mean `sched`?"
        );
        assert_eq!(
            error("[events.slow]\nshed = \"1s\"\n"),
            "monitor.toml:2: unknown latency `shed`; did you mean `sched`?"
        );
        let none = error("events.slow.process = \"1s\"\n");
        assert!(none.contains("unknown latency `process`; there are: block, "), "{none}");
        let none = error("[probes]\nprocess = true\n[events.slow]\nprocess = \"1s\"\n");
        assert!(none.starts_with("monitor.toml:4: unknown latency `process`"), "{none}");
        assert!(
            error("zzz = 1\n").starts_with("monitor.toml:1: unknown key `zzz`; there are: listen,")
        );
    }

    #[test]
    fn wrong_values_name_the_line_and_what_is_expected() {
        assert_eq!(
            error("\n[groups]\ntop = \"many\"\n"),
            "monitor.toml:3: invalid type: string \"many\", expected a whole number"
        );
        for (text, expected) in [
            ("groups.top = -1\n", "a whole number"),
            ("interval = 1\n", "text in quotes"),
            ("groups = 1\n", "a table of keys"),
            ("probes = 1\n", "a table of keys"),
            ("probes.sched = 1\n", "true or false"),
        ] {
            let error = error(text);
            assert!(error.ends_with(&format!(", expected {expected}")), "{error}");
        }
        assert!(
            error("interval = \"fast\"\n").starts_with("monitor.toml:1: `fast` is no duration")
        );
        let short = error("\ninterval = \"1ms\"\n");
        assert!(short.starts_with("monitor.toml:2: interval") && short.contains("at least 100ms"));
        assert!(error("interval = \"1h\"\n").contains("at most 300s"));
        let half = error("tls.key = \"key.pem\"\n");
        assert_eq!(
            half,
            "monitor.toml:1: tls.key is set and tls.certificate is not; set both, or neither"
        );
        assert!(error("listen = \"nowhere\"\n").starts_with("monitor.toml:1: "));
        assert!(error("listen = \n").starts_with("monitor.toml:1: "));
    }

    #[test]
    fn a_named_file_must_be_there() {
        let error = Config::read(Some(Path::new("/nonexistent.toml"))).unwrap_err().to_string();
        assert!(error.contains("/nonexistent.toml") && error.contains("--config"), "{error}");
    }

    #[test]
    fn what_is_printed_can_be_read() {
        let printed = toml::to_string(&Config::default()).unwrap();
        let read = file::parse(&printed, Path::new("printed")).unwrap();
        assert_eq!(toml::to_string(&read).unwrap(), printed);
    }
}
