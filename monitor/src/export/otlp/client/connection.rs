//! Connections to a receiver, encrypted or not; the same for both protocols.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
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

use super::{
    super::{super::files, OtlpError},
    is_same_host,
};
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

/// TLS of connections.
#[derive(Clone)]
pub(in super::super) struct Tls {
    /// With the client certificate, if there is one.
    to_receiver: TlsConnector,
    /// Without it: for hosts that the receiver redirects to.
    to_others: TlsConnector,
}

/// Makes connections to one receiver, and to where it redirects.
#[derive(Clone)]
pub(super) struct Connector {
    /// The receiver.
    endpoint: Uri,
    /// For receivers whose address begins with `https`.
    tls: Option<Tls>,
    /// How long making one may take.
    timeout: Duration,
    /// Whether one was made.
    connected: Arc<AtomicBool>,
}

impl Connector {
    /// Makes connections to `endpoint`, encrypted where its address says so.
    pub(super) fn new(endpoint: Uri, tls: Option<Tls>, timeout: Duration) -> Self {
        Self { endpoint, tls, timeout, connected: Arc::default() }
    }

    /// The same, with no connection made.
    pub(super) fn again(&self) -> Self {
        Self { connected: Arc::default(), ..self.clone() }
    }

    /// Whether a connection was made.
    pub(super) fn has_connected(&self) -> bool {
        self.connected.load(Relaxed)
    }
}

impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let Self { endpoint, tls, timeout, connected } = self.clone();
        let tls = tls.map(|tls| match is_same_host(&address, &endpoint) {
            true => tls.to_receiver,
            false => tls.to_others,
        });
        Box::pin(async move {
            let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
            let stream = time::timeout(timeout, connect(&address, tls)).await;
            let stream = stream.map_err(|_| late())??;
            connected.store(true, Relaxed);
            Ok(stream)
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
) -> Result<(Tls, Option<Certificate>), OtlpError> {
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
    let anonymous = builder.clone().with_no_client_auth();
    let (client, certificate) = match (&config.certificate, &config.key) {
        (Some(path), Some(key)) => {
            let chain = files::certificates("otlp.tls.certificate", path)?;
            let certificate = Certificate::new("otlp.tls.certificate", path, &chain);
            let key = files::private_key("otlp.tls.key", key)?;
            (builder.with_client_auth_cert(chain, key)?, certificate)
        }
        _ => (anonymous.clone(), None),
    };
    let connector = |mut config: ClientConfig| {
        config.alpn_protocols = vec![match protocol {
            Protocol::Grpc => b"h2".to_vec(),
            Protocol::HttpProtobuf => b"http/1.1".to_vec(),
        }];
        TlsConnector::from(Arc::new(config))
    };
    let tls = Tls { to_receiver: connector(client), to_others: connector(anonymous) };
    Ok((tls, certificate))
}
