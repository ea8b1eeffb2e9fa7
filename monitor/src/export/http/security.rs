//! Who may read, and whether what is read is encrypted, as files say that the configuration names.

use std::{fmt, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
    },
};

use super::{super::files, auth::Auth};
use crate::{
    config::{AuthConfig, TlsConfig},
    export::{Certificate, FileError},
};

/// Why nothing can be served as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A file is of no use.
    #[error(transparent)]
    File(#[from] FileError),
    /// Certificate and key cannot be used.
    #[error("tls.certificate and tls.key cannot be used: {0}; they must belong together")]
    Tls(#[from] rustls::Error),
}

impl SecurityError {
    /// The configuration key at fault.
    pub fn key(&self) -> &'static str {
        match self {
            Self::File(error) => error.key(),
            Self::Tls(_) => "tls.certificate",
        }
    }
}

/// Who may read, and whether it is encrypted.
#[derive(Default)]
pub struct Security {
    pub(super) tls: Option<TlsAcceptor>,
    certificate: Option<Certificate>,
    pub(super) auth: Auth,
}

impl Security {
    /// Reads the files of the configuration. Without any, everyone can read, in plain text.
    pub fn read(tls: &TlsConfig, auth: &AuthConfig) -> Result<Self, SecurityError> {
        let mut security = Self::default();
        if let Some(path) = &auth.tokens {
            let found = security.auth.add_tokens(&files::secret("auth.tokens", path)?);
            files::some(found, "auth.tokens", path, "token, one a line")?;
        }
        if let Some(path) = &auth.users {
            let found = security.auth.add_users(&files::secret("auth.users", path)?);
            files::some(found, "auth.users", path, "user:password in each line")?;
        }
        if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
            let chain = files::certificates("tls.certificate", certificate)?;
            security.certificate = Certificate::new("tls.certificate", certificate, &chain);
            security.tls = Some(acceptor(chain, files::private_key("tls.key", key)?)?);
        }
        Ok(security)
    }

    /// Whether what is served is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The server certificate.
    pub fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// Whether clients must say who they are.
    pub fn is_authenticated(&self) -> bool {
        self.auth.is_required()
    }
}

impl fmt::Debug for Security {
    // No secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("encrypted", &self.is_encrypted())
            .field("authenticated", &self.is_authenticated())
            .finish()
    }
}

/// The `Authorization` that a client has to send to who reads the same files.
pub fn authorization(auth: &AuthConfig) -> Result<Option<String>, SecurityError> {
    Ok(Security::read(&TlsConfig::default(), auth)?.auth.first())
}

fn acceptor(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<TlsAcceptor, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
