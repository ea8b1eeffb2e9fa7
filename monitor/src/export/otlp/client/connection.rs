//! Connections to a receiver, encrypted or not; the same for both protocols.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use hyper::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tower_service::Service;

use super::super::{super::files, OtlpError};
use crate::{
    config::{OtlpTlsConfig, Protocol},
    export::Certificate,
};

/// A connection.
pub(super) type Stream = TokioIo<Pin<Box<dyn Io>>>;

/// What a connection is read from and written to.
pub(super) trait Io: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Io for T {}

impl Connection for Pin<Box<dyn Io>> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

/// Makes connections to one receiver.
#[derive(Clone)]
pub(super) struct Connector {
    /// For receivers whose address begins with `https`.
    pub(super) tls: Option<TlsConnector>,
    /// How long making one may take.
    pub(super) timeout: Duration,
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let Self { tls, timeout } = self.clone();
        Box::pin(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
            time::timeout(timeout, connect(&address, tls)).await.map_err(|_| late())?
        })
    }
}

async fn connect(address: &Uri, tls: Option<TlsConnector>) -> io::Result<Stream> {
    let invalid = || io::Error::new(io::ErrorKind::InvalidInput, "the address has no host");
    let host = address.host().ok_or_else(invalid)?.trim_matches(['[', ']']);
    let usual = if tls.is_some() { 443 } else { 80 };
    let stream = TcpStream::connect((host, address.port_u16().unwrap_or(usual))).await?;
    // A request is written in pieces that must not wait for each other.
    stream.set_nodelay(true)?;
    let stream: Pin<Box<dyn Io>> = match tls {
        None => Box::pin(stream),
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| invalid())?;
            Box::pin(tls.connect(name, stream).await?)
        }
    };
    Ok(TokioIo::new(stream))
}

/// Reads what the configuration names for TLS. Returns the client certificate too, if there is one.
pub(in super::super) fn tls(
    config: &OtlpTlsConfig,
    protocol: Protocol,
) -> Result<(TlsConnector, Option<Certificate>), OtlpError> {
    let mut roots = RootCertStore::empty();
    match &config.ca {
        Some(path) => {
            for certificate in files::certificates("otlp.tls.ca", path)? {
                roots.add(certificate)?;
            }
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            // Some of them may be of a kind that is not known here.
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(OtlpError::NoRoots);
            }
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let (mut client, certificate) = match (&config.certificate, &config.key) {
        (Some(path), Some(key)) => {
            let chain = files::certificates("otlp.tls.certificate", path)?;
            let certificate = Certificate::new("otlp.tls.certificate", path, &chain);
            let key = files::private_key("otlp.tls.key", key)?;
            (builder.with_client_auth_cert(chain, key)?, certificate)
        }
        _ => (builder.with_no_client_auth(), None),
    };
    client.alpn_protocols = vec![match protocol {
        Protocol::Grpc => b"h2".to_vec(),
        Protocol::HttpProtobuf => b"http/1.1".to_vec(),
    }];
    Ok((TlsConnector::from(Arc::new(client)), certificate))
}
