//! Files that the configuration names: secrets, and what TLS needs.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use tokio_rustls::rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject},
};

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {key} = {path:?}: {source}")]
    Read {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// It has not what it ought to have.
    #[error("{key} = {path:?} has no {what}")]
    Empty {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is looked for in it.
        what: &'static str,
    },
    /// It is not what it ought to be.
    #[error("{key} = {path:?} cannot be used: {reason}; it must be in PEM form")]
    Pem {
        /// The key of the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
}

impl FileError {
    /// The configuration key that names the file.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Read { key, .. } | Self::Empty { key, .. } | Self::Pem { key, .. } => key,
        }
    }
}

/// Reads a file with secrets in it.
pub(super) fn secret(key: &'static str, path: &Path) -> Result<String, FileError> {
    let error = |source| FileError::Read { key, path: path.to_owned(), source };
    let text = fs::read_to_string(path).map_err(error)?;
    let mode = fs::metadata(path).map_err(error)?.permissions().mode();
    if mode & 0o004 != 0 {
        tracing::warn!("every user of this host can read {key} = {path:?}; chmod it to 600");
    }
    Ok(text)
}

/// The certificates in a file.
pub(super) fn certificates(
    key: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, FileError> {
    let text =
        fs::read(path).map_err(|source| FileError::Read { key, path: path.to_owned(), source })?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(key, path, &error))?;
    some(!certificates.is_empty(), key, path, "certificate in PEM form")?;
    Ok(certificates)
}

/// The private key in a file.
pub(super) fn private_key(
    key: &'static str,
    path: &Path,
) -> Result<PrivateKeyDer<'static>, FileError> {
    let text = secret(key, path)?;
    let found = PrivateKeyDer::from_pem_slice(text.as_bytes());
    let is_there = !matches!(found, Err(pem::Error::NoItemsFound));
    some(is_there, key, path, "private key in PEM form")?;
    found.map_err(|error| unusable(key, path, &error))
}

/// The error of a file without what is looked for in it.
pub(super) fn some(
    found: bool,
    key: &'static str,
    path: &Path,
    what: &'static str,
) -> Result<(), FileError> {
    match found {
        true => Ok(()),
        false => Err(FileError::Empty { key, path: path.to_owned(), what }),
    }
}

fn unusable(key: &'static str, path: &Path, error: &pem::Error) -> FileError {
    FileError::Pem { key, path: path.to_owned(), reason: error.to_string() }
}
