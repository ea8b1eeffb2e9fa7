//! Who may read, and whether what is read is encrypted, as files say that the configuration names.

use std::{fmt, path::Path, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, ServerConfig, crypto::ring},
};

use super::{super::files, auth::Auth};
use crate::{
    config::{AuthConfig, TlsConfig},
    export::FileError,
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

/// Who may read, and whether it is encrypted.
#[derive(Default)]
pub struct Security {
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) auth: Auth,
}

impl Security {
    /// Reads what the configuration names. One that names nothing lets everybody read, in the clear.
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
            security.tls = Some(acceptor(certificate, key)?);
        }
        Ok(security)
    }

    /// Whether what is served is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
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

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, SecurityError> {
    let chain = files::certificates("tls.certificate", certificate)?;
    let secret = files::private_key("tls.key", key)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
