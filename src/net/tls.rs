//! Whom the agent trusts to be its backend: the same roots for REST and WebSocket.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use ureq::tls::{Certificate, PemItem, parse_pem};

/// The certificates of BACKEND_CA_FILE, which take the place of the public roots. The error says what is wrong.
pub fn certificates(pem: &str) -> Result<Vec<Certificate<'static>>, String> {
    let certificates: Vec<_> = parse_pem(pem.as_bytes())
        .filter_map(|it| match it {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err("BACKEND_CA_FILE: expected at least one certificate in PEM".to_owned());
    }
    Ok(certificates)
}

/// TLS 1.2 and 1.3 with ring, trusting `ca` or else the public roots. There is no way round the check.
pub fn client_config(ca: Option<&str>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(pem) => {
            // One that rustls cannot read proves nothing, as with REST; another one may do.
            let read = certificates(pem)?;
            roots.add_parsable_certificates(
                read.iter()
                    .map(|it| CertificateDer::from(it.der().to_vec())),
            );
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|err| err.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
