//! A certificate authority that nobody knows, and the certificates it issues.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};
use time::{Duration, OffsetDateTime};

use super::Acceptor;

/// A test that waits longer has failed.
const CLIENT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

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
        self.issue(names, now - Duration::DAY, now + Duration::days(90))
    }

    /// A server whose certificate is past its time.
    pub fn expired_acceptor(&self, names: &[&str]) -> Acceptor {
        let now = OffsetDateTime::now_utc();
        self.issue(names, now - Duration::days(2), now - Duration::DAY)
    }

    /// A client that trusts it and nobody else, connected to a server of this name. The handshake is not done yet:
    /// what is wrong with the server shows when the stream is used.
    pub fn connect(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(self.issuer.der().clone())
            .map_err(io::Error::other)?;
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let socket = TcpStream::connect(address)?;
        socket.set_read_timeout(Some(CLIENT_TIMEOUT))?;
        Ok(StreamOwned::new(tls, socket))
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
        let config = ServerConfig::builder_with_provider(provider())
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}
