//! What can be wrong with a configuration.

use std::{io, path::PathBuf};

use super::{Origin, Origins};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {path}: {source}; name another with --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}:{line}: {message}")]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// What is wrong, and what would be right.
        message: String,
    },
    /// A key takes another.
    #[error("{is} is set and {is_not} is not; set both, or neither")]
    Half {
        /// The key that is set.
        is: &'static str,
        /// The key that is not.
        is_not: &'static str,
    },
    /// A value cannot be used.
    #[error("{origin}: {error}")]
    At {
        /// Where the value comes from.
        origin: Origin,
        /// What is wrong with it.
        error: Box<Self>,
    },
    /// A variable cannot be used.
    #[error("{name} cannot be used: {reason}")]
    Variable {
        /// The variable.
        name: String,
        /// The cause.
        reason: String,
    },
    /// A header cannot be sent.
    #[error(
        "otlp.headers: `{name}` or its value cannot be sent in a header; use letters, digits and -"
    )]
    Header {
        /// The header's name.
        name: String,
    },
    /// An endpoint is no address.
    #[error("otlp.endpoint: `{endpoint}` is no address; it must be like http://localhost:4317")]
    Endpoint {
        /// What was given.
        endpoint: String,
    },
    /// An endpoint has a query where there is no place for one.
    #[error(
        "otlp.endpoint: `{endpoint}` has a query, which gRPC cannot send; leave it out, or set \
         otlp.protocol to http/protobuf"
    )]
    EndpointQuery {
        /// What was given, without the query.
        endpoint: String,
    },
    /// An endpoint has a secret in it.
    #[error(
        "otlp.endpoint must not have a user or a password in it, as it is logged; give them as \
         otlp.headers.authorization"
    )]
    EndpointSecret,
    /// A value is out of its range.
    #[error("{key} = {value} is out of range: {range}")]
    Range {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        range: String,
    },
}

impl ConfigError {
    /// The same with the origin of the value, where that is known.
    pub(super) fn set_by(self, origins: &Origins) -> Self {
        match self.key().and_then(|key| origins.get(&key)).cloned() {
            Some(origin) => Self::At { origin, error: Box::new(self) },
            None => self,
        }
    }

    /// Whether the error is about several values, so that another of them may correct it.
    pub(super) fn is_of_several_values(&self) -> bool {
        matches!(self, Self::Half { .. } | Self::EndpointQuery { .. })
    }

    /// The key of the value that is wrong.
    fn key(&self) -> Option<String> {
        match self {
            Self::Half { is: key, .. } | Self::Range { key, .. } => Some((*key).to_owned()),
            Self::Endpoint { .. } | Self::EndpointQuery { .. } | Self::EndpointSecret => {
                Some("otlp.endpoint".to_owned())
            }
            Self::Header { name } => Some(format!("otlp.headers.{name}")),
            Self::Read { .. } | Self::Parse { .. } | Self::At { .. } | Self::Variable { .. } => {
                None
            }
        }
    }
}
