//! A certificate authority that nobody knows, and the certificates it issues.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

use super::Acceptor;

/// A private CA.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Default for Authority {
    fn default() -> Authority {
        Authority::new()
    }
}

impl Authority {
    /// A new one, whom nobody trusts who was not told to.
    pub fn new() -> Authority {
        let mut params = params(&[]);
        params
            .distinguished_name
            .push(DnType::CommonName, "sandbox CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("the system has random numbers");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a CA can sign itself");
        Authority { issuer }
    }

    /// Its own certificate, as `BACKEND_CA_FILE` holds it.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A server with these names, which may be addresses.
    pub fn acceptor(&self, names: &[&str]) -> Acceptor {
        let now = OffsetDateTime::now_utc();
        self.issue(names, now - Duration::DAY, now + Duration::DAY)
    }

    /// A server whose certificate is past its time.
    pub fn expired_acceptor(&self, names: &[&str]) -> Acceptor {
        let now = OffsetDateTime::now_utc();
        self.issue(names, now - Duration::days(2), now - Duration::DAY)
    }

    fn issue(&self, names: &[&str], from: OffsetDateTime, until: OffsetDateTime) -> Acceptor {
        let mut params = params(names);
        params.not_before = from;
        params.not_after = until;
        let key = KeyPair::generate().expect("the system has random numbers");
        let certificate = params
            .signed_by(&key, &self.issuer)
            .expect("the CA can sign");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let chain = vec![certificate.der().clone()];
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("the key is that of the certificate");
        Acceptor {
            config: Arc::new(config),
        }
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("names of servers")
}
