use std::{env, fs, path::PathBuf, process, time::SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
        server::WebPkiClientVerifier,
    },
};

use super::*;
use crate::{
    config::{OtlpConfig, OtlpTlsConfig, Protocol, Secret, Threshold},
    export::{
        otlp::{Deltas, Records},
        testing,
    },
    host::HostPaths,
    metric::AGENT_TICK_DURATION,
    resource,
};

/// Who signs the certificates of a test.
type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate of `127.0.0.1` that expires at the beginning of a year, and its key.
fn signed_until(year: i32, authority: &Authority) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_after = date_time_ymd(year, 1, 1);
    (params.signed_by(&key, authority).unwrap(), key)
}

/// A receiver that takes everything and keeps connections open. Returns its address and the client certificates of the
/// handshakes.
async fn receiver(
    authority: &Authority,
) -> (String, mpsc::UnboundedReceiver<CertificateDer<'static>>) {
    let provider = Arc::new(ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let (certificate, key) = signed_until(2045, authority);
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let (sender, handshakes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, sender) = (acceptor.clone(), sender.clone());
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await.unwrap();
                let client = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
                let _ = sender.send(client.into_owned());
                let mut request = [0; 4096];
                while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {
                    let response = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(response).await.unwrap();
                }
            });
        }
    });
    (address, handshakes)
}

fn exports(config: &Config) -> Exports {
    let series = testing::number(&AGENT_TICK_DURATION, &[], 1.0);
    let views = testing::publish(testing::view(vec![series])).1;
    let resources = watch::channel(Some(resource::resource(Vec::new()))).1;
    let deltas = Deltas::new(SystemTime::now());
    Exports::start(routes(config).unwrap(), resources, views, Records::new(), deltas)
}

#[tokio::test]
async fn replaced_client_certificate_is_used_without_a_signal() {
    const LONG: Duration = Duration::from_secs(30);
    let directory = env::temp_dir().join(format!("monitor-reload-{}", process::id()));
    fs::create_dir_all(&directory).unwrap();
    let write = |name: &str, content: String| -> Option<PathBuf> {
        let path = directory.join(name);
        fs::write(&path, content).unwrap();
        Some(path)
    };
    let authority = authority();
    let (endpoint, mut handshakes) = receiver(&authority).await;
    let (first, first_key) = signed_until(2040, &authority);
    let (second, second_key) = signed_until(2041, &authority);
    let tls = OtlpTlsConfig {
        ca: write("ca.pem", authority.pem()),
        certificate: write("certificate.pem", first.pem()),
        key: write("key.pem", first_key.serialize_pem()),
    };
    let otlp = OtlpConfig {
        endpoint: Some(endpoint),
        protocol: Protocol::HttpProtobuf,
        interval: Duration::from_secs(1),
        logs: false,
        tls,
        ..OtlpConfig::default()
    };
    let config = Config { otlp, ..Config::default() };
    let mut exports = exports(&config);
    let credentials = Credentials::default();
    let reloader = Reloader {
        address: config.listen,
        files: NamedFiles::of(&config),
        config,
        configs: &std::sync::mpsc::channel().0,
        security: &watch::channel(Arc::default()).0,
        exports: &mut exports,
        credentials: &credentials,
        identity: &Identity::new(HostPaths::default()),
    };
    let expires = || serde_json::to_value(credentials.statuses()).unwrap()[0]["expires"].clone();
    let replaced = async {
        let used = timeout(LONG, handshakes.recv()).await.unwrap().unwrap();
        assert_eq!((&used, expires()), (first.der(), "2040-01-01T00:00:00Z".into()));
        // Half of the pair.
        write("certificate.pem", second.pem());
        let refused = async {
            while credentials.problems().is_empty() {
                time::sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, refused).await.unwrap();
        let problems = credentials.problems();
        assert!(
            problems[0].contains("otlp.tls.certificate; the previous content stays"),
            "{problems:?}"
        );
        assert!(problems[0].contains("must belong together"), "{problems:?}");
        assert_eq!(expires(), "2040-01-01T00:00:00Z");
        write("key.pem", second_key.serialize_pem());
        let used = timeout(LONG, handshakes.recv()).await.unwrap().unwrap();
        assert_eq!((&used, expires()), (second.der(), "2041-01-01T00:00:00Z".into()));
        assert!(credentials.problems().is_empty());
    };
    tokio::select! {
        () = reloader.run(mpsc::channel(1).1) => unreachable!("it never completes"),
        () = replaced => {}
    }
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn changes_are_named_by_their_keys() {
    let old = Config::default();
    let mut new = old.clone();
    assert!(changes(&old, &new).is_empty());
    new.interval = Duration::from_secs(2);
    new.groups.top = 7;
    new.probes.insert("sched".to_owned(), false);
    new.otlp.headers.insert("a".to_owned(), Secret("b".to_owned()));
    let changes = changes(&old, &new);
    let texts: Vec<_> =
        changes.iter().map(|it| format!("{} {} {}", it.key, it.old, it.new)).collect();
    assert_eq!(
        texts,
        [
            "groups.top 100 7",
            r#"interval "1s" "2s""#,
            r#"otlp.headers.a unset "***""#,
            "probes.sched true false",
            "otlp.headers secret secret",
        ]
    );
}

#[test]
fn what_is_set_up_once_stays_as_it_is() {
    let old = Config::default();
    let mut new = old.clone();
    new.listen = ([127, 0, 0, 1], 1).into();
    new.host.sys = "/host/sys".into();
    new.log.level = "debug".to_owned();
    new.events.slow.insert("sched".to_owned(), Threshold(Duration::from_secs(7)));
    let fixed = changes(&old, &new).into_iter().filter(|change| is_fixed(&change.key));
    assert_eq!(fixed.count(), 3);
    let settled = settle(&old, new, &[]);
    assert_eq!((settled.listen, &settled.host.sys), (old.listen, &old.host.sys));
    assert_eq!(settled.log.level, "debug");
    assert_eq!(settled.events.slow, old.events.slow);
}

#[test]
fn what_is_fixed_exists() {
    let old = toml::Value::try_from(Config::default()).unwrap();
    for key in FIXED {
        let value = key.split('.').try_fold(&old, |value, name| value.get(name));
        assert!(value.is_some(), "{key}");
    }
}
