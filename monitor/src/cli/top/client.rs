//! Asking a daemon. One request on a connection of its own needs no library.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use crate::{config::AuthConfig, export::http};

/// How long the daemon may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Which daemon, and how to get an answer from it: by what its own configuration names, so that the
/// variables it is started with do for both.
#[derive(Args)]
pub(super) struct DaemonArgs {
    /// Address and port of the daemon
    #[arg(
        long,
        env = "MONITOR_LISTEN",
        default_value = "127.0.0.1:9464",
        value_name = "ADDRESS:PORT"
    )]
    pub(super) address: SocketAddr,
    /// The daemon's certificate, if it has one: no other is accepted
    #[arg(long, env = "MONITOR_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// File whose first bearer token is sent
    #[arg(long, env = "MONITOR_AUTH_TOKENS", value_name = "FILE")]
    auth_tokens: Option<PathBuf>,
    /// File whose first user:password is sent
    #[arg(long, env = "MONITOR_AUTH_USERS", value_name = "FILE")]
    auth_users: Option<PathBuf>,
}

/// Asks a daemon, again and again.
pub(super) struct Client {
    pub(super) address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    authorization: Option<String>,
}

impl Client {
    pub(super) fn new(args: &DaemonArgs) -> Result<Self> {
        let auth = AuthConfig { tokens: args.auth_tokens.clone(), users: args.auth_users.clone() };
        let tls = args.tls_certificate.as_ref().map(|path| {
            let certificate = CertificateDer::from_pem_file(path);
            let certificate =
                certificate.with_context(|| format!("cannot read a certificate from {path:?}"))?;
            anyhow::Ok(Arc::new(only(certificate)?))
        });
        Ok(Self {
            address: args.address,
            tls: tls.transpose()?,
            authorization: http::authorization(&auth)?,
        })
    }

    /// Where the daemon is, as a browser would want it.
    pub(super) fn url(&self, path: &str) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.address)
    }

    /// The body of an answer.
    pub(super) fn get(&self, path: &str) -> Result<String> {
        let address = self.address;
        let stream = TcpStream::connect_timeout(&address, TIMEOUT).with_context(|| {
            format!("no daemon answers on {address}; start one with `monitor run`")
        })?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        let answer = match &self.tls {
            None => self.converse(stream, path)?,
            Some(config) => {
                let name = ServerName::from(address.ip());
                let connection = ClientConnection::new(config.clone(), name)?;
                let answer = self.converse(StreamOwned::new(connection, stream), path);
                answer.with_context(|| format!("no encrypted answer from {address}"))?
            }
        };
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        match head.split(' ').nth(1) {
            Some("200") => Ok(body.to_owned()),
            Some("401") => bail!(
                "{address} wants to know who asks; name the daemon's file with --auth-tokens or \
                 --auth-users"
            ),
            Some(_) => bail!("{address} answers {}: {body}", head.lines().next().unwrap_or("")),
            None => bail!(
                "{address} requires TLS; name the daemon's CA certificate with \
                 --tls-certificate"
            ),
        }
    }

    fn converse(&self, mut stream: impl Read + Write, path: &str) -> io::Result<String> {
        let mut request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n", self.address);
        if let Some(authorization) = &self.authorization {
            request += &format!("Authorization: {authorization}\r\n");
        }
        stream.write_all((request + "\r\n").as_bytes())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        // What is no text is no answer of ours.
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// Accepts this certificate and no other, whoever signed it.
fn only(certificate: CertificateDer<'static>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    let verifier = Arc::new(Only { certificate, algorithms });
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder?.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match *certificate == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => {
                Err(Error::General("it has another certificate than the one named".to_owned()))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
