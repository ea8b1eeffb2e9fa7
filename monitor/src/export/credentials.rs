//! Certificates in use and when they expire, for metrics and `/health`.

use std::{
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Serialize;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::{
    metric::AGENT_CERTIFICATE_TIME_TO_EXPIRY,
    sample::{Attributes, Owner, Sample, Value},
};

/// A certificate in use, with the rest of its chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The configuration key that names the file.
    key: &'static str,
    path: PathBuf,
    /// When the first certificate of the chain expires.
    expires: SystemTime,
}

impl Certificate {
    /// The certificates of a file; `None`, with a warning, where one has no readable expiry.
    pub(super) fn new(
        key: &'static str,
        path: &Path,
        chain: &[CertificateDer<'_>],
    ) -> Option<Self> {
        let expiries: Option<Vec<_>> =
            chain.iter().map(|certificate| expiry(certificate)).collect();
        let expires = expiries.and_then(|expiries| expiries.into_iter().min());
        if expires.is_none() {
            tracing::warn!("the expiry of {key} = {path:?} cannot be read and is not exported");
        }
        Some(Self { key, path: path.to_owned(), expires: expires? })
    }

    /// Seconds until the certificate expires, negative afterwards.
    fn time_to_expiry(&self, now: SystemTime) -> f64 {
        match self.expires.duration_since(now) {
            Ok(left) => left.as_secs_f64(),
            Err(expired) => -expired.duration().as_secs_f64(),
        }
    }

    fn expires(&self) -> String {
        humantime::format_rfc3339_seconds(self.expires).to_string()
    }
}

/// When a certificate in DER form expires.
fn expiry(der: &[u8]) -> Option<SystemTime> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let seconds = certificate.validity().not_after.timestamp();
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds.try_into().unwrap_or(0)))
}

/// A certificate in `/health`.
#[derive(Debug, PartialEq, Serialize)]
pub struct CertificateStatus {
    key: &'static str,
    file: PathBuf,
    /// In RFC 3339 form.
    expires: String,
    /// Negative once it has expired.
    days_until_expiry: f64,
}

/// What files are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The HTTP server.
    Served,
    /// OTLP.
    Sent,
}

/// The certificates in use, and why files that changed are not.
#[derive(Debug, Default)]
pub struct Credentials(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    certificates: Vec<Certificate>,
    /// By [`Side`].
    refused: [Option<String>; 2],
}

impl Credentials {
    /// Sets the certificates in use.
    pub fn set(&self, certificates: impl IntoIterator<Item = Certificate>) {
        let mut unique = Vec::new();
        for certificate in certificates {
            // Metrics and logs usually have the same.
            if !unique.contains(&certificate) {
                unique.push(certificate);
            }
        }
        self.lock().certificates = unique;
    }

    /// Sets why files that changed on disk are not in use, if so.
    pub fn refuse(&self, side: Side, reason: Option<String>) {
        self.lock().refused[side as usize] = reason;
    }

    /// The certificates in use.
    pub fn statuses(&self) -> Vec<CertificateStatus> {
        const DAY_SECONDS: f64 = 24.0 * 60.0 * 60.0;
        let now = SystemTime::now();
        let state = self.lock();
        let status = |it: &Certificate| CertificateStatus {
            key: it.key,
            file: it.path.clone(),
            expires: it.expires(),
            days_until_expiry: (it.time_to_expiry(now) / DAY_SECONDS * 10.0).floor() / 10.0,
        };
        state.certificates.iter().map(status).collect()
    }

    /// Expired certificates and files that cannot be used, in sentences.
    pub fn problems(&self) -> Vec<String> {
        let now = SystemTime::now();
        let state = self.lock();
        let expired = state.certificates.iter().filter(|it| it.expires <= now).map(|it| {
            format!("{} = {:?} expired on {}; renew the certificate", it.key, it.path, it.expires())
        });
        state.refused.iter().flatten().cloned().chain(expired).collect()
    }

    /// Emits the metrics of certificates.
    pub fn collect(&self, sink: &mut dyn FnMut(Sample<'_>)) {
        let now = SystemTime::now();
        for certificate in &self.lock().certificates {
            let path = certificate.path.to_string_lossy();
            let attributes =
                &Attributes::new([("monitor.config.key", certificate.key), ("file.path", &*path)]);
            let value = Value::Gauge(certificate.time_to_expiry(now));
            let metric = &AGENT_CERTIFICATE_TIME_TO_EXPIRY;
            sink(Sample { metric, owner: Owner::Host, attributes, value });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    /// A certificate that expires at the beginning of a year.
    fn until(year: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn chain_expires_with_its_first_certificate() {
        let path = Path::new("/chain.pem");
        let certificate =
            Certificate::new("tls.certificate", path, &[until(2045), until(2044)]).unwrap();
        assert_eq!(certificate.expires(), "2044-01-01T00:00:00Z");
        let at = |seconds: i64| {
            let hour = Duration::from_secs(seconds.unsigned_abs());
            if seconds < 0 { certificate.expires - hour } else { certificate.expires + hour }
        };
        assert_eq!(certificate.time_to_expiry(at(-3600)), 3600.0);
        assert_eq!(certificate.time_to_expiry(at(3600)), -3600.0);
        let broken = [until(2045), CertificateDer::from(vec![1, 2, 3])];
        assert_eq!(Certificate::new("tls.certificate", path, &broken), None);
    }

    #[test]
    fn expired_certificates_are_problems() {
        let path = Path::new("/c.pem");
        let certificate = |year| Certificate::new("tls.certificate", path, &[until(year)]);
        let credentials = Credentials::default();
        credentials.set([certificate(2045), certificate(2045)].into_iter().flatten());
        assert_eq!(credentials.problems(), Vec::<String>::new());
        assert_eq!(credentials.statuses().len(), 1, "the same certificate twice");
        credentials.set(certificate(2001));
        let [problem] = &credentials.problems()[..] else { panic!("not one problem") };
        assert!(problem.contains("tls.certificate") && problem.contains("2001-01-01"), "{problem}");
        assert!(credentials.statuses()[0].days_until_expiry < 0.0);
    }

    #[test]
    fn files_of_one_side_say_nothing_of_the_other() {
        let credentials = Credentials::default();
        credentials.refuse(Side::Served, Some("mismatch".to_owned()));
        credentials.refuse(Side::Sent, None);
        assert_eq!(credentials.problems(), ["mismatch"]);
        credentials.refuse(Side::Served, None);
        assert_eq!(credentials.problems(), Vec::<String>::new());
    }
}
