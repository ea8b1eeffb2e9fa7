//! Encryption, and who is who.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper::StatusCode;
use monitor::{
    config::{OtlpTlsConfig, Protocol, Signal, Target},
    export::otlp::Route,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

use crate::{
    receiver::{Answer, Inbox, Receiver},
    setup::{self, Exporter, Log, PROTOCOLS, target},
};

/// Who vouches for others.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of `127.0.0.1`, and its key.
fn vouched_for(authority: &Authority) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    (params.signed_by(&key, authority).unwrap(), key)
}

/// What a receiver does; it asks clients for certificates of `clients`.
fn acceptor(authority: &Authority, clients: Option<&Authority>) -> TlsAcceptor {
    let (certificate, key) = vouched_for(authority);
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let mut roots = RootCertStore::empty();
            roots.add(clients.der().clone()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = builder.with_single_cert(vec![certificate.der().clone()], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Files of a test.
struct Files(PathBuf);

impl Files {
    fn new(name: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("otlp-{name}"));
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    fn write(&self, name: &str, content: &str) -> Option<PathBuf> {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        Some(path)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn receivers_and_clients_that_are_vouched_for_are_trusted() {
    let (authority, clients) = (authority("of receivers"), authority("of clients"));
    let files = Files::new("trusted");
    let (certificate, key) = vouched_for(&clients);
    let ca = files.write("ca.pem", &authority.pem());
    let plain = OtlpTlsConfig { ca, certificate: None, key: None };
    let mutual = OtlpTlsConfig {
        certificate: files.write("client.pem", &certificate.pem()),
        key: files.write("client-key.pem", &key.serialize_pem()),
        ..plain.clone()
    };
    for protocol in PROTOCOLS {
        for (tls, wanted) in [(&plain, None), (&mutual, Some(&clients))] {
            let acceptor = acceptor(&authority, wanted);
            let receiver =
                Receiver::start_at("127.0.0.1:0", Inbox::default(), Some(acceptor)).await;
            let endpoint = format!("https://{}", receiver.address);
            let target = Target { tls: tls.clone(), ..target(&endpoint, protocol) };
            let signals = [Signal::Metrics];
            let _exporter = Exporter::start(setup::of_each_kind(1), &signals, &target);
            receiver.inbox.wait(1).await;
        }
    }
}

#[tokio::test]
async fn client_certificate_is_not_offered_to_hosts_of_redirects() {
    let (authority, clients) = (authority("of receivers"), authority("of clients"));
    let files = Files::new("redirected");
    let (certificate, key) = vouched_for(&clients);
    let tls = OtlpTlsConfig {
        ca: files.write("ca.pem", &authority.pem()),
        certificate: files.write("client.pem", &certificate.pem()),
        key: files.write("client-key.pem", &key.serialize_pem()),
    };
    let start = |inbox| {
        Receiver::start_at("127.0.0.1:0", inbox, Some(acceptor(&authority, Some(&clients))))
    };
    let other = start(Inbox::default()).await;
    let location = format!("https://{}/v1/metrics", other.address);
    let redirect = Answer::Http(StatusCode::TEMPORARY_REDIRECT, vec![("location", location)]);
    let receiver = start(Inbox::new([redirect])).await;
    let endpoint = format!("https://{}", receiver.address);
    let target = Target { tls, ..target(&endpoint, Protocol::HttpProtobuf) };
    let exporter = Exporter::start(setup::of_each_kind(1), &[Signal::Metrics], &target);
    let is_refused = || exporter.account(Signal::Metrics).failures.contains_key("connection");
    while !is_refused() && other.inbox.all().is_empty() {
        tokio::time::sleep(target.interval).await;
    }
    // The other host wants one, and is refused.
    assert_eq!((receiver.inbox.all().len(), other.inbox.all().len()), (1, 0));
}

#[tokio::test]
async fn nothing_is_sent_to_who_is_not_or_when_we_are_not() {
    let (authority, strangers) = (authority("known"), authority("unknown"));
    let files = Files::new("strangers");
    let trusted = files.write("ca.pem", &authority.pem());
    let other = files.write("other.pem", &strangers.pem());
    for protocol in PROTOCOLS {
        // A receiver that somebody else vouches for, and one that wants to know who we are.
        for (ca, clients, cause) in
            [(&other, None, "UnknownIssuer"), (&trusted, Some(&authority), "CertificateRequired")]
        {
            let (log, _guard) = Log::listen();
            let acceptor = acceptor(&authority, clients);
            let receiver =
                Receiver::start_at("127.0.0.1:0", Inbox::default(), Some(acceptor)).await;
            let endpoint = format!("https://{}", receiver.address);
            let tls = OtlpTlsConfig { ca: ca.clone(), certificate: None, key: None };
            let target = Target { tls, ..target(&endpoint, protocol) };
            let signals = [Signal::Metrics];
            let exporter = Exporter::start(setup::of_each_kind(1), &signals, &target);
            while exporter.account(Signal::Metrics).failures.get("connection") < Some(&2) {
                tokio::time::sleep(target.interval).await;
            }
            assert!(receiver.inbox.all().is_empty());
            let said = log.lines("metrics not sent");
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].contains(cause) && said[0].contains("otlp.tls"), "{said:?}");
        }
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let files = Files::new("broken");
    let (certificate, key) = vouched_for(&authority("any"));
    let certificate = files.write("certificate.pem", &certificate.pem());
    let key = files.write("key.pem", &key.serialize_pem());
    let other = files.write("other.pem", &KeyPair::generate().unwrap().serialize_pem());
    let empty = files.write("empty.pem", "");
    let missing = Some(files.0.join("missing.pem"));
    for (tls, expected) in [
        ((missing.clone(), None, None), "cannot read otlp.tls.ca"),
        ((empty.clone(), None, None), "has no certificate"),
        ((None, certificate.clone(), empty), "has no private key"),
        ((None, certificate.clone(), other), "must belong together"),
        ((None, missing, key), "cannot read otlp.tls.certificate"),
    ] {
        let (ca, certificate_, key) = tls;
        let ca = ca.or_else(|| certificate.clone());
        let tls = OtlpTlsConfig { ca, certificate: certificate_, key };
        let target = Target { tls, ..target("https://x", PROTOCOLS[0]) };
        let error = Route::new(Signal::Metrics, target).err().unwrap().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
