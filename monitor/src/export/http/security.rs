//! Who may read, and whether what is read is encrypted, as files say that the configuration names.

use std::{
    fmt, fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        self, ServerConfig,
        crypto::ring,
        pki_types::{
            CertificateDer, PrivateKeyDer,
            pem::{self, PemObject},
        },
    },
};

use super::auth::Auth;
use crate::config::{AuthConfig, TlsConfig};

/// Why nothing can be served as it should be.
#[derive(Debug, thiserror::Error)]
pub enum SecurityError {
    /// A file cannot be read.
    #[error("cannot read {key} = {path:?}: {source}")]
    Read {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file has not what it ought to have.
    #[error("{key} = {path:?} has no {what}")]
    Empty {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is looked for in it.
        what: &'static str,
    },
    /// A file is not what it ought to be.
    #[error("{key} = {path:?} cannot be used: {reason}; it must be in PEM form")]
    Pem {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
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
            let found = security.auth.add_tokens(&read("auth.tokens", path)?);
            some(found, "auth.tokens", path, "token, one a line")?;
        }
        if let Some(path) = &auth.users {
            let found = security.auth.add_users(&read("auth.users", path)?);
            some(found, "auth.users", path, "user:password in each line")?;
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

/// Reads a file with secrets in it.
fn read(key: &'static str, path: &Path) -> Result<String, SecurityError> {
    let error = |source| SecurityError::Read { key, path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(error)?;
    let mode = fs::metadata(path).map_err(error)?.permissions().mode();
    if mode & 0o004 != 0 {
        tracing::warn!("every user of this host can read {key} = {path:?}; chmod it to 600");
    }
    Ok(text)
}

fn some(
    found: bool,
    key: &'static str,
    path: &Path,
    what: &'static str,
) -> Result<(), SecurityError> {
    match found {
        true => Ok(()),
        false => Err(SecurityError::Empty { key, path: path.to_owned(), what }),
    }
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, SecurityError> {
    let text = read_public("tls.certificate", certificate)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable("tls.certificate", certificate, &error))?;
    some(!chain.is_empty(), "tls.certificate", certificate, "certificate in PEM form")?;
    let text = read("tls.key", key)?;
    let secret = PrivateKeyDer::from_pem_slice(text.as_bytes());
    let found = !matches!(secret, Err(pem::Error::NoItemsFound));
    some(found, "tls.key", key, "private key in PEM form")?;
    let secret = secret.map_err(|error| unusable("tls.key", key, &error))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read_public(key: &'static str, path: &Path) -> Result<Vec<u8>, SecurityError> {
    fs::read(path).map_err(|source| SecurityError::Read { key, path: path.to_owned(), source })
}

fn unusable(key: &'static str, path: &Path, error: &pem::Error) -> SecurityError {
    SecurityError::Pem { key, path: path.to_owned(), reason: error.to_string() }
}
